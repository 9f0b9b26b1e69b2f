// Package sessions is the read model behind GET /sessions/{id} and a project's
// list of sessions.
package sessions

import (
	"context"
	_ "embed"
	"encoding/json"
	"strings"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections"
)

//go:embed schema.sql
var schema string

// Name is the projector's.
const Name = "sessions_v1"

// Projector writes the table that the queries below read. The sessions of a
// deleted project are not in it.
func Projector() *projections.Projector {
	return projections.New(Name, schema,
		projections.On(created),
		projections.On(updated),
		projections.On(closed),
		projections.On(projectDeleted),
	)
}

func created(b *projections.Batch, r eventlog.Record, e eventschema.SessionCreated) {
	b.Exec(`insert into sessions_v1
		(id, project_id, position, revision, title, status, provider_id, model_id, config, memory, tags, created_at, updated_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)`,
		e.SessionID, e.ProjectID, r.Position.Commit, r.Revision, e.Title, e.Status, e.ProviderID, e.ModelID,
		string(e.Config), string(e.Memory), e.Tags, r.Meta.At)
}

func updated(b *projections.Batch, r eventlog.Record, e eventschema.SessionUpdated) {
	b.Exec(`update sessions_v1 set revision = $2, updated_at = $3, title = coalesce($4, title), status = coalesce($5, status),
		provider_id = coalesce($6, provider_id), model_id = coalesce($7, model_id), config = coalesce($8, config),
		memory = coalesce($9, memory), tags = coalesce($10, tags) where id = $1`,
		e.SessionID, r.Revision, r.Meta.At, e.Title, e.Status, e.ProviderID, e.ModelID,
		projections.Text(e.Config), projections.Text(e.Memory), e.Tags)
}

// closed takes out a session whose journal was started when its project was
// deleted already.
func closed(b *projections.Batch, _ eventlog.Record, e eventschema.SessionClosed) {
	b.Exec(`delete from sessions_v1 where id = $1`, e.SessionID)
}

func projectDeleted(b *projections.Batch, _ eventlog.Record, e eventschema.ProjectDeleted) {
	b.Exec(`delete from sessions_v1 where project_id = $1`, e.ProjectID)
}

// Session is one row.
type Session struct {
	ID         string
	ProjectID  string
	Position   int64
	Revision   int64
	Title      string
	Status     string
	ProviderID string
	ModelID    string
	Config     json.RawMessage
	Memory     json.RawMessage
	Tags       []string
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

const columns = `id, project_id, position, revision, title, status, provider_id, model_id, config, memory, tags, created_at, updated_at`

// ByID returns one session, and false when there is none.
func ByID(ctx context.Context, db projections.Querier, id string) (Session, bool, error) {
	return projections.One[Session](ctx, db, "session", `select `+columns+` from sessions_v1 where id = $1`, id)
}

// Filter narrows a list; an empty field does not.
type Filter struct {
	Title  string // part of the title, in any case
	Status string // in any case
}

// OfProject returns up to limit sessions created after the position cursor,
// oldest first.
func OfProject(ctx context.Context, db projections.Querier, projectID string, f Filter, cursor int64, limit int) ([]Session, error) {
	return projections.Many[Session](ctx, db, "sessions", `select `+columns+` from sessions_v1
		where project_id = $1 and position > $2 and ($3 = '' or strpos(lower(title), $3) > 0) and ($4 = '' or lower(status) = $4)
		order by position limit $5`, projectID, cursor, strings.ToLower(f.Title), strings.ToLower(f.Status), limit)
}
