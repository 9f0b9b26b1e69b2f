// Package users is the read model behind GET /admin/users and GET /me.
package users

import (
	"context"
	_ "embed"
	"strings"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections"
)

//go:embed schema.sql
var schema string

// Projector writes the table that the queries below read. A deleted user is not
// in it.
func Projector() *projections.Projector {
	return projections.New("users_v1", schema,
		projections.On(created),
		projections.On(updated),
		projections.On(passwordChanged),
		projections.On(disabled),
		projections.On(enabled),
		projections.On(deleted),
		projections.On(keyIssued),
		projections.On(keyRevoked),
	)
}

func created(b *projections.Batch, r eventlog.Record, e eventschema.UserCreated) {
	b.Exec(`insert into users_v1 (id, position, revision, name, email, roles, disabled, created_at) values ($1, $2, $3, $4, $5, $6, false, $7)`,
		e.UserID, r.Position.Commit, r.Revision, e.Name, e.Email, e.Roles, r.Meta.At)
}

func updated(b *projections.Batch, r eventlog.Record, e eventschema.UserUpdated) {
	b.Exec(`update users_v1 set revision = $2, name = coalesce($3, name), roles = coalesce($4, roles) where id = $1`,
		e.UserID, r.Revision, e.Name, e.Roles)
}

func passwordChanged(b *projections.Batch, r eventlog.Record, e eventschema.UserPasswordChanged) {
	touch(b, r, e.UserID)
}

func disabled(b *projections.Batch, r eventlog.Record, e eventschema.UserDisabled) {
	b.Exec(`update users_v1 set revision = $2, disabled = true where id = $1`, e.UserID, r.Revision)
}

func enabled(b *projections.Batch, r eventlog.Record, e eventschema.UserEnabled) {
	b.Exec(`update users_v1 set revision = $2, disabled = false where id = $1`, e.UserID, r.Revision)
}

func deleted(b *projections.Batch, _ eventlog.Record, e eventschema.UserDeleted) {
	b.Exec(`delete from users_v1 where id = $1`, e.UserID)
}

func keyIssued(b *projections.Batch, r eventlog.Record, e eventschema.UserAPIKeyIssued) {
	touch(b, r, e.UserID)
}

func keyRevoked(b *projections.Batch, r eventlog.Record, e eventschema.UserAPIKeyRevoked) {
	touch(b, r, e.UserID)
}

func touch(b *projections.Batch, r eventlog.Record, userID string) {
	b.Exec(`update users_v1 set revision = $2 where id = $1`, userID, r.Revision)
}

// User is one row.
type User struct {
	ID        string
	Position  int64
	Revision  int64
	Name      string
	Email     string
	Roles     []string
	Disabled  bool
	CreatedAt time.Time
}

const columns = `id, position, revision, name, email, roles, disabled, created_at`

// ByID returns one user, and false when there is none.
func ByID(ctx context.Context, db projections.Querier, id string) (User, bool, error) {
	return projections.One[User](ctx, db, "user", `select `+columns+` from users_v1 where id = $1`, id)
}

// Filter narrows a list.
type Filter struct {
	// Text is part of the name or the e-mail address, in any case; empty for all.
	Text string
	// Disabled, if not nil, lists only users that are, or are not.
	Disabled *bool
}

// List returns up to limit users created after the position cursor, oldest first.
func List(ctx context.Context, db projections.Querier, f Filter, cursor int64, limit int) ([]User, error) {
	return projections.Many[User](ctx, db, "users", `select `+columns+` from users_v1
		where position > $1 and ($2 = '' or strpos(lower(name), $2) > 0 or strpos(lower(email), $2) > 0) and ($3::boolean is null or disabled = $3)
		order by position limit $4`, cursor, strings.ToLower(f.Text), f.Disabled, limit)
}
