package reactors

import (
	"context"
	"fmt"
	"strings"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// Completions repeat what a command appended, or was about to append, to a second
// stream. Done before, they change nothing.

func (r *Reactors) startJournal(ctx context.Context, why eventlog.Record) error {
	added, err := decode[eventschema.ProjectSessionAdded](why, r.sealer)
	if err != nil {
		return err
	}
	_, err = r.handlers.StartJournal(ctx, added, why.Meta.At)
	return err
}

func (r *Reactors) startUser(ctx context.Context, why eventlog.Record) error {
	reserved, err := decode[eventschema.EmailReserved](why, r.sealer)
	if err != nil {
		return err
	}
	_, err = r.handlers.StartUser(ctx, reserved.User, why.Meta.At)
	return err
}

func (r *Reactors) releaseEmail(ctx context.Context, why eventlog.Record) error {
	deleted, err := decode[eventschema.UserDeleted](why, r.sealer)
	if err != nil {
		return err
	}
	_, err = r.handlers.ReleaseEmail(ctx, deleted)
	return err
}

func (r *Reactors) countAdmin(ctx context.Context, why eventlog.Record) error {
	userID, ok := strings.CutPrefix(why.Stream, "user-")
	if !ok {
		return fmt.Errorf("%s is no user's stream", why.Stream)
	}
	return r.handlers.CountAdmin(ctx, userID)
}

func (r *Reactors) recountAdmin(ctx context.Context, why eventlog.Record) error {
	removed, err := sightless[eventschema.AdminRemoved](why)
	if err != nil {
		return err
	}
	return r.handlers.RecountAdmin(ctx, removed.UserID)
}

// closeSessions closes every session that the project ever had: a deleted project
// gets no more. One that has no journal yet is an error, and the job is tried
// again: its journal is about to be started, and must not stay open.
func (r *Reactors) closeSessions(ctx context.Context, why eventlog.Record) error {
	deleted, err := sightless[eventschema.ProjectDeleted](why)
	if err != nil {
		return err
	}
	sessions, err := r.handlers.ProjectSessions(ctx, deleted.ProjectID)
	if err != nil {
		return err
	}
	for _, id := range sessions {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := r.handlers.CloseSession(ctx, id); err != nil {
			return fmt.Errorf("close session %s: %w", id, err)
		}
	}
	return nil
}
