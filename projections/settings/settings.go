// Package settings is the read model behind GET /settings and GET
// /settings/audit. No secret is in it: the events show none.
package settings

import (
	"context"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections"
)

//go:embed schema.sql
var schema string

// Projector writes the tables that the queries below read.
func Projector() *projections.Projector {
	return projections.New("settings_v1", schema, projections.On(updated))
}

func updated(b *projections.Batch, r eventlog.Record, e eventschema.SettingsUpdated) {
	b.Exec(`insert into settings_v1 (stream, revision, settings) values ($1, $2, $3)
		on conflict (stream) do update set revision = excluded.revision, settings = excluded.settings`,
		r.Stream, r.Revision, string(e.Settings))
	for i, c := range e.Changes {
		cursor, err := cursorOf(r.Position.Commit, i)
		if err != nil {
			b.Fail(err)
			return
		}
		b.Exec(`insert into settings_v1_changes (cursor, id, ts, actor_user_id, request_id, path, from_value, to_value)
			values ($1, $2, $3, $4, $5, $6, $7, $8)`,
			cursor, changeID(r.ID, i), r.Meta.At, r.Meta.ActorUserID, r.Meta.RequestID, c.Path, string(c.From), string(c.To))
	}
}

// maxCursor is the largest integer that every JSON number holds exactly
// (RFC 8259, 6).
const maxCursor = 1<<53 - 1

// cursorOf is the place of the nth change of the event at a position. The log is
// 8 TiB long before it runs out of cursors.
func cursorOf(position uint64, n int) (int64, error) {
	if position > maxCursor/eventschema.MaxSettingsChanges || n < 0 || n >= eventschema.MaxSettingsChanges {
		return 0, fmt.Errorf("change %d of the event at %d has no cursor below 2^53", n, position)
	}
	return int64(position)*eventschema.MaxSettingsChanges + int64(n), nil
}

// changeID is the id of an event's nth change.
func changeID(event uuid.UUID, n int) string {
	id := uuid.NewSHA1(event, binary.BigEndian.AppendUint32([]byte("settings change "), uint32(n)))
	return "setaudit_" + hex.EncodeToString(id[:])
}

// Settings are the settings and their revision.
type Settings struct {
	Revision int64
	Document json.RawMessage
}

// NoRevision is the revision of settings that nobody ever changed.
const NoRevision int64 = -1

// Current returns the settings: the defaults, as long as nobody has changed them.
func Current(ctx context.Context, db projections.Querier) (Settings, error) {
	s, found, err := projections.One[Settings](ctx, db, "settings", `select revision, settings from settings_v1`)
	if err != nil || found {
		return s, err
	}
	return Settings{Revision: NoRevision, Document: eventschema.DefaultSettings()}, nil
}

// Change is one leaf that changed. From and To are JSON.
type Change struct {
	Cursor      int64
	ID          string
	TS          time.Time
	ActorUserID string
	RequestID   string
	Path        string
	From, To    json.RawMessage
}

// Changes returns up to limit changes after cursor, oldest first.
func Changes(ctx context.Context, db projections.Querier, cursor int64, limit int) ([]Change, error) {
	return projections.Many[Change](ctx, db, "settings changes", `select cursor, id, ts, actor_user_id, request_id, path, from_value, to_value
		from settings_v1_changes where cursor > $1 order by cursor limit $2`, cursor, limit)
}
