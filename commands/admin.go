package commands

import (
	"context"
	"math"
	"slices"

	"github.com/g4fagent/g4fagent/domain/installation"
	"github.com/g4fagent/g4fagent/domain/user"
	"github.com/g4fagent/g4fagent/eventschema"
)

// AdminRole is the role that may do everything.
const AdminRole = "admin"

// administers reports whether an account in this state can administer.
func administers(s user.State) bool { return s.Active() && slices.Contains(s.Roles, AdminRole) }

// releaseAdmin decides that a user, as seen, is no administrator any more, before
// that becomes true: the last one is refused.
func (h *Handlers) releaseAdmin(ctx context.Context, userID string, seen folded[user.State]) error {
	t := target{command: "ReleaseAdmin", stream: installationStream}
	_, err := decide(withoutKey(ctx), h, t, func(s installation.State) ([]eventschema.InstallationEvent, error) {
		return s.RemoveAdmin(userID, seen.Revision)
	})
	return err
}

// CountAdmin completes what happened to a user: administrators who can act are
// counted, others are not. It looks at the user again after it has counted: what
// happened meanwhile may have been counted before. Who was removed and has not
// changed since is left alone: the change may be about to follow.
func (h *Handlers) CountAdmin(ctx context.Context, userID string) error {
	return h.countAdmin(ctx, userID, func(seen folded[user.State]) int64 { return seen.Revision })
}

// RecountAdmin is CountAdmin once the change that a removal preceded has ended,
// one way or the other: who has not changed is an administrator still.
func (h *Handlers) RecountAdmin(ctx context.Context, userID string) error {
	return h.countAdmin(ctx, userID, func(folded[user.State]) int64 { return math.MaxInt64 })
}

func (h *Handlers) countAdmin(ctx context.Context, userID string, as func(folded[user.State]) int64) error {
	account, err := current[user.State, eventschema.UserEvent](ctx, h, userStream(userID))
	for err == nil {
		if err = h.setAdmin(ctx, userID, administers(account.State), as(account)); err != nil {
			break
		}
		counted := administers(account.State)
		account, err = current[user.State, eventschema.UserEvent](ctx, h, userStream(userID))
		if err == nil && administers(account.State) == counted {
			return nil
		}
	}
	return err
}

func (h *Handlers) setAdmin(ctx context.Context, userID string, counts bool, seen int64) error {
	t := target{command: "CountAdmin", stream: installationStream}
	_, err := decide(withoutKey(ctx), h, t, func(s installation.State) ([]eventschema.InstallationEvent, error) {
		if counts {
			return s.AddAdmin(userID, seen)
		}
		return s.RemoveAdmin(userID, seen)
	})
	return err
}

// remains reports whether an administrator still is one after a change.
func remains(c user.Change) bool {
	if c.Roles != nil && !slices.Contains(*c.Roles, AdminRole) {
		return false
	}
	return c.Disabled == nil || !*c.Disabled
}
