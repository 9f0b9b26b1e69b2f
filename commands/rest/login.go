package rest

import (
	"context"
	"strings"
	"time"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/identity"
)

// Tickets makes tickets for event streams: a browser's EventSource can send no
// header.
type Tickets interface {
	NewTicket(who identity.Principal, path string) (ticket string, ttl time.Duration, err error)
}

// What is wrong with a login.
var (
	errMethod     = fault.New(fault.Invalid, "invalid_method", "The login method is neither password nor api_key.")
	errBlankToken = fault.New(fault.Invalid, "invalid_request", "refresh_token is blank.").With("field", "refresh_token")
	errTicketPath = fault.New(fault.Invalid, "invalid_request", "path is not that of a stream.").With("field", "path")
)

// Login answers POST /auth/login.
func (c Commands) Login(ctx context.Context, r api.LoginRequestObject) (api.LoginResponseObject, error) {
	var login commands.Login
	var err error
	switch strings.ToLower(strings.TrimSpace(r.Body.Method)) {
	case "password":
		login, err = c.Handlers.LogInWithPassword(ctx, or(r.Body.Email, ""), or(r.Body.Password, ""))
	case "api_key":
		login, err = c.Handlers.LogInWithAPIKey(ctx, or(r.Body.APIKey, ""))
	default:
		err = errMethod
	}
	if err != nil {
		return nil, err
	}
	return c.tokens(ctx, login), nil
}

// RefreshLogin answers POST /auth/refresh.
func (c Commands) RefreshLogin(ctx context.Context, r api.RefreshLoginRequestObject) (api.RefreshLoginResponseObject, error) {
	token := strings.TrimSpace(r.Body.RefreshToken)
	if token == "" {
		return nil, errBlankToken
	}
	login, err := c.Handlers.RefreshLogin(ctx, token)
	if err != nil {
		if len(login.Events) > 0 {
			c.appended(ctx, login.Receipt) // a family that ended is ended at once
		}
		return nil, err
	}
	return c.tokens(ctx, login), nil
}

func (c Commands) tokens(ctx context.Context, l commands.Login) api.Tokens {
	c.appended(ctx, l.Receipt)
	return api.Tokens{AccessToken: l.AccessToken, RefreshToken: l.RefreshToken, ExpiresIn: int(l.ExpiresIn / time.Second)}
}

// Logout answers POST /auth/logout.
func (c Commands) Logout(ctx context.Context, r api.LogoutRequestObject) (api.LogoutResponseObject, error) {
	token := ""
	if r.Body != nil {
		token = or(r.Body.RefreshToken, "")
	}
	receipt, err := c.Handlers.Logout(ctx, identity.PrincipalOf(ctx).LoginFamily, token)
	if err != nil {
		return nil, err
	}
	c.appended(ctx, receipt)
	return done, nil
}

// CreateTicket answers POST /auth/tickets.
func (c Commands) CreateTicket(ctx context.Context, r api.CreateTicketRequestObject) (api.CreateTicketResponseObject, error) {
	if !strings.HasPrefix(r.Body.Path, "/stream/sessions/") {
		return nil, errTicketPath
	}
	ticket, ttl, err := c.Tickets.NewTicket(identity.PrincipalOf(ctx), r.Body.Path)
	if err != nil {
		return nil, err
	}
	return api.CreateTicket200JSONResponse{Ticket: ticket, ExpiresIn: int(ttl / time.Second)}, nil
}
