// Package audit is the index behind GET /audit: where in the log each audited
// event is. The events themselves are read from the log.
package audit

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections"
)

//go:embed schema.sql
var schema string

// Projector writes an address for every event that is not passive.
func Projector() *projections.Projector {
	audited := slices.DeleteFunc(eventschema.All.Names(), eventschema.All.Passive)
	return projections.New("audit_v1", schema, projections.OnEach(audited, index)...)
}

var table = projections.NewTable("audit_v1",
	"position bigint", "stream text", "revision bigint", "type text", "project_id text", "actor text", "ts timestamptz")

func index(b *projections.Batch, r eventlog.Record) {
	b.Insert(table,
		r.Position.Commit, r.Stream, r.Revision, r.Stored.Name, r.Meta.ProjectID, r.Meta.ActorUserID, r.Meta.At)
}

// Address is where an event is.
type Address struct {
	Position int64
	Stream   string
	Revision int64
}

// skew is how far the clocks of the nodes that append may be apart. Positions say
// the order; times only bound where in it a page has to look.
const skew = 10 * time.Minute

// Filter narrows the trail; a zero field does not.
type Filter struct {
	Type, ProjectID, Actor string
	From, To               *time.Time // From inclusive, To exclusive
}

// List returns up to limit addresses after the position cursor, in log order.
func List(ctx context.Context, db projections.Querier, f Filter, cursor int64, limit int) ([]Address, error) {
	sql, args := query(f, cursor, limit)
	return projections.Many[Address](ctx, db, "audit index", sql, args...)
}

// query names only the conditions that are asked for: each combination has its
// own plan, and each plan its index.
func query(f Filter, cursor int64, limit int) (string, []any) {
	sql, args := `select position, stream, revision from audit_v1 where position > $1`, []any{cursor}
	and := func(condition string, arg any) {
		args = append(args, arg)
		sql += fmt.Sprintf(" and "+condition, len(args))
	}
	if f.Type != "" {
		and("type = $%d", f.Type)
	}
	if f.ProjectID != "" {
		and("project_id = $%d", f.ProjectID)
	}
	if f.Actor != "" {
		and("actor = $%d", f.Actor)
	}
	if f.From != nil {
		and("ts >= $%d", *f.From)
		and(`position >= coalesce((select position from audit_v1 where ts >= $%d order by ts limit 1), 9223372036854775807)`, f.From.Add(-skew))
	}
	if f.To != nil {
		and("ts < $%d", *f.To)
		and(`position <= coalesce((select position from audit_v1 where ts < $%d order by ts desc limit 1), 0)`, f.To.Add(skew))
	}
	args = append(args, limit)
	return sql + fmt.Sprintf(" order by position limit $%d", len(args)), args
}
