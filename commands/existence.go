package commands

import (
	"context"

	"github.com/g4fagent/g4fagent/domain/project"
	"github.com/g4fagent/g4fagent/domain/session"
	"github.com/g4fagent/g4fagent/domain/user"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
	"github.com/g4fagent/g4fagent/internal/ident"
)

// Exists reports, as a not-found error, that a resource which a request's path
// names is not there. The names are those of the document's path parameters.
func (h *Handlers) Exists(ctx context.Context, params map[string]string) error {
	if id, ok := params["provider_id"]; ok {
		if _, known := provider.Lookup(id); !known {
			return agent.ErrProviderNotFound
		}
	}
	if id, ok := params["project_id"]; ok {
		past, err := current[project.State, eventschema.ProjectEvent](ctx, h, projectStream(id))
		if err != nil || !past.State.Exists || past.State.Deleted {
			return orNotFound(err, project.ErrNotFound)
		}
	}
	if id, ok := params["session_id"]; ok {
		if _, err := h.journal(ctx, "", id); err != nil {
			return err
		}
	}
	if id, ok := params["run_id"]; ok {
		sessionID, made := ident.SessionOf(h.vault.HMAC, id)
		if !made {
			return session.ErrRunNotFound
		}
		if _, err := h.journal(ctx, "", sessionID); err != nil {
			return runNotFound(err)
		}
	}
	if id, ok := params["user_id"]; ok {
		past, err := current[user.State, eventschema.UserEvent](ctx, h, userStream(id))
		if err != nil || !past.State.Exists || past.State.Deleted {
			return orNotFound(err, user.ErrNotFound)
		}
	}
	return nil
}

func orNotFound(err, notFound error) error {
	if err != nil {
		return err
	}
	return notFound
}
