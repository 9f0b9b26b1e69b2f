// Package messages is the read model behind GET /sessions/{id}/messages.
package messages

import (
	"context"
	_ "embed"
	"encoding/json"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections"
)

//go:embed schema.sql
var schema string

// Name is the projector's.
const Name = "messages_v1"

// Projector writes the table that OfSession reads. The messages of a deleted
// project are not in it.
func Projector() *projections.Projector {
	return projections.New(Name, schema,
		projections.On(posted),
		projections.On(projectDeleted),
	)
}

var table = projections.NewTable("messages_v1",
	"session_id text", "position bigint", "id text", "project_id text", "run_id text", "role text", "content text", "meta text", "ts timestamptz")

func posted(b *projections.Batch, r eventlog.Record, e eventschema.MessagePosted) {
	b.Insert(table,
		e.SessionID, r.Position.Commit, e.MessageID, e.ProjectID, e.RunID, e.Role, string(e.Content), string(e.Meta), r.Meta.At)
}

func projectDeleted(b *projections.Batch, _ eventlog.Record, e eventschema.ProjectDeleted) {
	b.Exec(`delete from messages_v1 where project_id = $1`, e.ProjectID)
}

// Message is one row.
type Message struct {
	SessionID string
	Position  int64
	ID        string
	RunID     string // of the run that answered with it, or empty
	Role      string
	Content   json.RawMessage
	Meta      json.RawMessage
	TS        time.Time
}

// Filter narrows a list to a span of time, both ends exclusive; nil is open.
type Filter struct{ After, Before *time.Time }

// OfSession returns up to limit messages posted after the position cursor, oldest
// first.
func OfSession(ctx context.Context, db projections.Querier, sessionID string, f Filter, cursor int64, limit int) ([]Message, error) {
	return projections.Many[Message](ctx, db, "messages", `select session_id, position, id, run_id, role, content, meta, ts from messages_v1
		where session_id = $1 and position > $2 and ($3::timestamptz is null or ts > $3) and ($4::timestamptz is null or ts < $4)
		order by position limit $5`, sessionID, cursor, f.After, f.Before, limit)
}
