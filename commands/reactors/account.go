package reactors

import (
	"slices"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// account is whether a user administers, and whether the installation says so.
type account struct {
	admin, away, counted bool
	// job is that of the last event of the user's own.
	job countAdmin
}

func (a *account) administers() bool { return a.admin && !a.away }

// count takes an event of who administers.
func (b *book) count(r eventlog.Record, e eventschema.Event) {
	switch e := e.(type) {
	case eventschema.UserCreated:
		b.changed(r, e.UserID).admin = slices.Contains(e.Roles, commands.AdminRole)
	case eventschema.UserUpdated:
		if e.Roles != nil {
			b.changed(r, e.UserID).admin = slices.Contains(*e.Roles, commands.AdminRole)
		}
	case eventschema.UserDisabled:
		b.changed(r, e.UserID).away = true
	case eventschema.UserEnabled:
		b.changed(r, e.UserID).away = false
	case eventschema.UserDeleted:
		b.changed(r, e.UserID).away = true
	case eventschema.AdminAdded:
		b.account(e.UserID).counted = true
	case eventschema.AdminRemoved:
		b.account(e.UserID).counted = false
	}
}

func (b *book) changed(r eventlog.Record, userID string) *account {
	a := b.account(userID)
	a.job = countAdmin{causeOf(r, "")}
	return a
}

func (b *book) account(userID string) *account {
	a := b.accounts[userID]
	if a == nil {
		a = &account{}
		b.accounts[userID] = a
	}
	return a
}
