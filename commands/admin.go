package commands

import (
	"context"
	"slices"

	"github.com/g4fagent/g4fagent/domain/installation"
	"github.com/g4fagent/g4fagent/domain/user"
	"github.com/g4fagent/g4fagent/eventschema"
)

// adminRole is the role that may do everything.
const adminRole = "admin"

// administers reports whether an account in this state can administer.
func administers(s user.State) bool { return s.Active() && slices.Contains(s.Roles, adminRole) }

// releaseAdmin decides that a user is no administrator any more, before that
// becomes true: the last one is refused.
func (h *Handlers) releaseAdmin(ctx context.Context, userID string) error {
	t := target{command: "ReleaseAdmin", stream: installationStream}
	_, err := decide(withoutKey(ctx), h, t, func(s installation.State) ([]eventschema.InstallationEvent, error) {
		return s.RemoveAdmin(userID)
	})
	return err
}

// CountAdmin completes what happened to a user: administrators who can act are
// counted, others are not. It looks at the user again after it has counted: what
// happened meanwhile may have been counted before.
func (h *Handlers) CountAdmin(ctx context.Context, userID string) error {
	counts, err := h.administers(ctx, userID)
	for err == nil {
		if err = h.countAdmin(ctx, userID, counts); err != nil {
			break
		}
		var still bool
		if still, err = h.administers(ctx, userID); err == nil && still == counts {
			return nil
		}
		counts = still
	}
	return err
}

func (h *Handlers) administers(ctx context.Context, userID string) (bool, error) {
	account, err := current[user.State, eventschema.UserEvent](ctx, h, userStream(userID))
	return administers(account.State), err
}

func (h *Handlers) countAdmin(ctx context.Context, userID string, counts bool) error {
	t := target{command: "CountAdmin", stream: installationStream}
	_, err := decide(withoutKey(ctx), h, t, func(s installation.State) ([]eventschema.InstallationEvent, error) {
		if counts {
			return s.AddAdmin(userID)
		}
		return s.RemoveAdmin(userID)
	})
	return err
}

// remains reports whether an administrator still is one after a change.
func remains(c user.Change) bool {
	if c.Roles != nil && !slices.Contains(*c.Roles, adminRole) {
		return false
	}
	return c.Disabled == nil || !*c.Disabled
}
