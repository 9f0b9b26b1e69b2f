// Package access is the read model that each request's identity is checked
// against: which users may act, as what, through which logins.
package access

import (
	"context"
	_ "embed"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections"
)

//go:embed schema.sql
var schema string

// Name is the projector's.
const Name = "access_v1"

// Projector writes the tables that Login reads.
func Projector() *projections.Projector {
	return projections.New(Name, schema,
		projections.On(userCreated),
		projections.On(userUpdated),
		projections.On(userPasswordChanged),
		projections.On(userDisabled),
		projections.On(userEnabled),
		projections.On(userDeleted),
		projections.On(keyRevoked),
		projections.On(loginSucceeded),
		projections.On(reuseDetected),
		projections.On(loggedOut),
	)
}

func userCreated(b *projections.Batch, _ eventlog.Record, e eventschema.UserCreated) {
	b.Exec(`insert into access_v1_users (id, roles, active) values ($1, $2, true)`, e.UserID, e.Roles)
}

func userUpdated(b *projections.Batch, _ eventlog.Record, e eventschema.UserUpdated) {
	if e.Roles != nil {
		b.Exec(`update access_v1_users set roles = $2 where id = $1`, e.UserID, *e.Roles)
	}
}

func userPasswordChanged(b *projections.Batch, _ eventlog.Record, e eventschema.UserPasswordChanged) {
	endLogins(b, e.UserID)
}

func userDisabled(b *projections.Batch, _ eventlog.Record, e eventschema.UserDisabled) {
	b.Exec(`update access_v1_users set active = false where id = $1`, e.UserID)
	endLogins(b, e.UserID)
}

func userEnabled(b *projections.Batch, _ eventlog.Record, e eventschema.UserEnabled) {
	b.Exec(`update access_v1_users set active = true where id = $1`, e.UserID)
}

func userDeleted(b *projections.Batch, _ eventlog.Record, e eventschema.UserDeleted) {
	b.Exec(`delete from access_v1_users where id = $1`, e.UserID)
	endLogins(b, e.UserID)
}

func keyRevoked(b *projections.Batch, _ eventlog.Record, e eventschema.UserAPIKeyRevoked) {
	b.Exec(`update access_v1_logins set ended = true where user_id = $1 and key_id = $2 and not ended`, e.UserID, e.KeyID)
}

func loginSucceeded(b *projections.Batch, _ eventlog.Record, e eventschema.LoginSucceeded) {
	b.Exec(`insert into access_v1_logins (family, user_id, key_id, ended) values ($1, $2, $3, false)`, e.Family, e.UserID, e.CredentialID)
}

func reuseDetected(b *projections.Batch, _ eventlog.Record, e eventschema.TokenReuseDetected) {
	endLogin(b, e.Family)
}

func loggedOut(b *projections.Batch, _ eventlog.Record, e eventschema.LoggedOut) {
	endLogin(b, e.Family)
}

func endLogin(b *projections.Batch, family string) {
	b.Exec(`update access_v1_logins set ended = true where family = $1`, family)
}

func endLogins(b *projections.Batch, userID string) {
	b.Exec(`update access_v1_logins set ended = true where user_id = $1 and not ended`, userID)
}

// Login is a login in force and the user behind it.
type Login struct {
	UserID string
	KeyID  string
	Roles  []string
}

// ByFamily returns the login, and false when it has ended or its user may not
// act.
func ByFamily(ctx context.Context, db projections.Querier, family string) (Login, bool, error) {
	return projections.One[Login](ctx, db, "login", `select u.id, l.key_id, u.roles from access_v1_logins l join access_v1_users u on u.id = l.user_id
		where l.family = $1 and not l.ended and u.active`, family)
}
