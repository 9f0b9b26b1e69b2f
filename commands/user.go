package commands

import (
	"context"
	"errors"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/domain/reservation"
	"github.com/g4fagent/g4fagent/domain/user"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/failpoint"
	"github.com/g4fagent/g4fagent/internal/fault"
)

// ErrInvalidEmail refuses what is no e-mail address.
var ErrInvalidEmail = fault.New(fault.Invalid, "invalid_request", "This is not an e-mail address.").With("field", "email")

// CreateUser makes an account. Without a password nobody can log in with one.
type CreateUser struct {
	Name, Email, Password string
	Roles                 []string
	// ID fixes the user's id; empty for a new one.
	ID string
}

// CreateUser reserves the address, which decides and carries the whole user, and
// starts the user's stream. The second append completes the first: if it fails
// here, a reactor repeats it.
func (h *Handlers) CreateUser(ctx context.Context, c CreateUser) (Receipt, error) {
	e, err := h.newUser(ctx, c)
	if err != nil {
		return Receipt{}, err
	}
	t := target{command: "CreateUser", stream: emailStream(e.EmailHash)}
	decided, err := decide(ctx, h, t, func(s reservation.State) ([]eventschema.ReservationEvent, error) {
		return s.Take(eventschema.EmailReserved{User: e})
	})
	if err != nil {
		return Receipt{}, err
	}
	if reserved, ok := first[eventschema.EmailReserved](decided); ok {
		e = reserved.User // a replay answers with what was recorded
	}
	failpoint.Hit(failpoint.Completing)
	started, theirs, err := h.startUser(completing(ctx, decided), e, decided.At)
	if err != nil {
		return Receipt{}, err
	}
	if !theirs {
		return Receipt{}, ErrKeyReuse
	}
	if slices.Contains(e.Roles, AdminRole) {
		if err := h.CountAdmin(completing(ctx, started), e.UserID); err != nil {
			return Receipt{}, err
		}
	}
	return h.created(ctx, decided, started)
}

func (h *Handlers) newUser(ctx context.Context, c CreateUser) (eventschema.UserCreated, error) {
	email := strings.TrimSpace(c.Email)
	if parsed, err := mail.ParseAddress(email); err != nil || parsed.Address != email {
		return eventschema.UserCreated{}, ErrInvalidEmail
	}
	e := eventschema.UserCreated{UserID: c.ID, Name: strings.TrimSpace(c.Name), Email: email, EmailHash: h.EmailHash(email), Roles: c.Roles}
	var err error
	if e.UserID == "" {
		if e.UserID, err = h.newID(ctx, "user"); err != nil {
			return eventschema.UserCreated{}, err
		}
	}
	if c.Password != "" {
		if e.Verifier, err = h.newVerifier(ctx, c.Password, email, c.Name); err != nil {
			return eventschema.UserCreated{}, err
		}
	}
	return e, nil
}

// StartUser completes a reservation made at some time: the user's stream exists,
// since then. A user's id may have been reserved for twice, with two addresses,
// under one idempotency key; the second reservation is given back.
func (h *Handlers) StartUser(ctx context.Context, e eventschema.UserCreated, at time.Time) (Receipt, error) {
	receipt, _, err := h.startUser(ctx, e, at)
	return receipt, err
}

// startUser reports whether the user is the one that e describes.
func (h *Handlers) startUser(ctx context.Context, e eventschema.UserCreated, at time.Time) (r Receipt, theirs bool, err error) {
	t := target{
		command: "StartUser", stream: userStream(e.UserID), fresh: true,
		cause: uuid.NewSHA1(uuid.NameSpaceOID, []byte(e.UserID+" "+e.EmailHash)), at: at,
	}
	r, err = decide(withoutKey(ctx), h, t, func(s user.State) ([]eventschema.UserEvent, error) {
		theirs = !s.Exists || s.EmailHash == e.EmailHash
		return s.Create(e)
	})
	if err != nil || theirs {
		return r, theirs, err
	}
	_, err = h.ReleaseEmail(ctx, eventschema.UserDeleted{UserID: e.UserID, EmailHash: e.EmailHash})
	return r, false, err
}

// ReleaseEmail completes the deletion of a user: the address is free again.
func (h *Handlers) ReleaseEmail(ctx context.Context, deleted eventschema.UserDeleted) (Receipt, error) {
	t := target{
		command: "ReleaseEmail", stream: emailStream(deleted.EmailHash), cause: uuid.NewSHA1(uuid.NameSpaceOID, []byte("release "+deleted.UserID)),
	}
	return decide(withoutKey(ctx), h, t, func(s reservation.State) ([]eventschema.ReservationEvent, error) {
		return s.Release(eventschema.EmailReleased{UserID: deleted.UserID})
	})
}

// UpdateUser changes the fields that are not nil. Match is the revision that the
// client saw, nil for any.
type UpdateUser struct {
	UserID   string
	Name     *string
	Roles    *[]string
	Password *string
	Disabled *bool
	Match    *int64
}

// UpdateUser appends what differs, each kind of change under its own name.
func (h *Handlers) UpdateUser(ctx context.Context, c UpdateUser) (Receipt, error) {
	past, err := current[user.State, eventschema.UserEvent](ctx, h, userStream(c.UserID))
	if err != nil {
		return Receipt{}, err
	}
	change := user.Change{UserID: c.UserID, Name: c.Name, Roles: c.Roles, Disabled: c.Disabled}
	if c.Password != nil && past.State.Exists {
		verifier, err := h.newVerifier(ctx, *c.Password, past.State.Email, past.State.Name)
		if err != nil {
			return Receipt{}, err
		}
		change.Verifier = &verifier
	}
	if administers(past.State) && !remains(change) {
		if err := h.releaseAdmin(ctx, c.UserID, past); err != nil {
			return Receipt{}, err
		}
	}
	t := target{command: "UpdateUser", stream: userStream(c.UserID)}
	receipt, err := decide(ctx, h, t, func(s user.State) ([]eventschema.UserEvent, error) { return s.Update(change, c.Match) })
	switch {
	case c.Roles == nil && c.Disabled == nil:
		return receipt, err
	case err != nil:
		return receipt, errors.Join(err, h.RecountAdmin(ctx, c.UserID))
	}
	return receipt, h.CountAdmin(completing(ctx, receipt), c.UserID)
}

func (h *Handlers) newVerifier(ctx context.Context, password string, hints ...string) (string, error) {
	if err := h.rules.Check(password, hints...); err != nil {
		return "", err
	}
	return h.passwords.Hash(ctx, password)
}

// DeleteUser ends an account.
type DeleteUser struct {
	UserID string
	Match  *int64
}

// DeleteUser appends user.deleted and frees the address; if the second fails
// here, a reactor repeats it.
func (h *Handlers) DeleteUser(ctx context.Context, c DeleteUser) (Receipt, error) {
	past, err := current[user.State, eventschema.UserEvent](ctx, h, userStream(c.UserID))
	if err != nil {
		return Receipt{}, err
	}
	if administers(past.State) {
		if err := h.releaseAdmin(ctx, c.UserID, past); err != nil {
			return Receipt{}, err
		}
	}
	t := target{command: "DeleteUser", stream: userStream(c.UserID)}
	receipt, err := decide(ctx, h, t, func(s user.State) ([]eventschema.UserEvent, error) { return s.Delete(c.UserID, c.Match) })
	if err != nil && administers(past.State) {
		return Receipt{}, errors.Join(err, h.RecountAdmin(ctx, c.UserID)) // who was not deleted administers still
	}
	if err != nil {
		return Receipt{}, err
	}
	deleted, ok := first[eventschema.UserDeleted](receipt)
	if !ok || deleted.EmailHash == "" {
		return receipt, nil
	}
	released, err := h.ReleaseEmail(completing(ctx, receipt), deleted)
	if err != nil {
		return Receipt{}, err
	}
	return receipt.then(released), nil
}
