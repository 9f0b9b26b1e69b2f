package commands

import (
	"context"
	"fmt"

	"github.com/g4fagent/g4fagent/domain/installation"
	"github.com/g4fagent/g4fagent/domain/user"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/ident"
	"github.com/g4fagent/g4fagent/internal/identity"
)

const installationStream = "installation"

// Fixed ids: the first administrator, and the account that the configured API
// key acts as.
const (
	FirstAdminID  = "user_admin"
	ServiceUserID = "user_service"
	// ConfiguredKeyID names the API key of the configuration.
	ConfiguredKeyID = "configured"
)

// EnsureInstallation makes the log's first event, if there is none yet, and
// returns the id in it.
func (h *Handlers) EnsureInstallation(ctx context.Context) (string, error) {
	id, err := ident.New("inst")
	if err != nil {
		return "", err
	}
	t := target{command: "EnsureInstallation", stream: installationStream}
	if _, err := decide(asServer(ctx), h, t, func(s installation.State) ([]eventschema.InstallationEvent, error) {
		return s.Create(eventschema.InstallationCreated{InstallationID: id})
	}); err != nil {
		return "", fmt.Errorf("make the installation: %w", err)
	}
	past, err := known[installation.State, eventschema.InstallationEvent](ctx, h, installationStream)
	return past.State.ID, err
}

// HasFirstAdmin reports whether the first administrator was made already.
func (h *Handlers) HasFirstAdmin(ctx context.Context) (bool, error) {
	past, err := current[user.State, eventschema.UserEvent](ctx, h, userStream(FirstAdminID))
	return past.State.Exists, err
}

// CreateFirstAdmin makes the first administrator. Doing it again changes nothing.
func (h *Handlers) CreateFirstAdmin(ctx context.Context, name, email, password string) error {
	_, err := h.CreateUser(asServer(ctx), CreateUser{ID: FirstAdminID, Name: name, Email: email, Password: password, Roles: []string{"admin"}})
	if err != nil {
		return fmt.Errorf("make the first administrator: %w", err)
	}
	return nil
}

// ConfigureAPIKey makes the key with this verifier the one that the service
// account is reached by, instead of any other; an empty verifier takes it away. It
// reports whether the account may be logged in to. One that was deleted never may
// again, whatever key is configured.
func (h *Handlers) ConfigureAPIKey(ctx context.Context, verifier string) (active bool, err error) {
	ctx = asServer(ctx)
	t := target{command: "ConfigureAPIKey", stream: userStream(ServiceUserID)}
	account := eventschema.UserCreated{UserID: ServiceUserID, Name: "API key", Roles: []string{"developer"}}
	_, err = decide(ctx, h, t, func(s user.State) ([]eventschema.UserEvent, error) {
		return s.ReplaceKey(account, ConfiguredKeyID, verifier), nil
	})
	if err != nil {
		return false, fmt.Errorf("configure the API key: %w", err)
	}
	past, err := known[user.State, eventschema.UserEvent](ctx, h, t.stream)
	return past.State.Active(), err
}

// asServer is ctx with the server itself as the actor.
func asServer(ctx context.Context) context.Context {
	return identity.WithPrincipal(ctx, identity.Server())
}
