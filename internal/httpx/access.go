package httpx

import (
	"net/http"
	"strings"

	"github.com/g4fagent/g4fagent/internal/identity"
)

// Credentials are what a request shows to be identified by: one of Bearer and
// Ticket, or neither.
type Credentials struct {
	// Bearer is the token of the Authorization header (RFC 6750).
	Bearer string
	// Ticket is the query parameter of that name, which only streams take: a
	// browser's EventSource can send no header.
	Ticket string
	// Path is the request's path below the base path, which a ticket is bound
	// to.
	Path string
}

// Refusal is a 401 or 403 that an operation answered.
type Refusal struct {
	OperationID string
	Code        string
	Status      int
}

// enter says who the request acts as, and refuses whoever may not use the
// operation. At public operations credentials only help: bad ones are ignored,
// or nobody could log in with an expired token at hand.
func (e *edge) enter(x *exchange) error {
	shown := credentials(x)
	if x.operation.Public && shown.Bearer == "" {
		return nil
	}
	principal, err := e.hooks.Authenticate(x.ctx, shown)
	switch {
	case x.operation.Public && err != nil:
		return nil //nolint:nilerr // see above
	case err != nil:
		return err
	case principal.Anonymous() && !x.operation.Public:
		return ErrUnauthorized
	}
	x.principal = principal
	x.ctx = identity.WithPrincipal(x.ctx, principal)
	if !principal.May(x.operation.Permission) {
		return errForbidden
	}
	return nil
}

func credentials(x *exchange) Credentials {
	shown := Credentials{Bearer: bearer(x.r.Header), Path: x.request.Path}
	if shown.Bearer == "" && x.streams() && len(x.r.Header["Authorization"]) == 0 {
		shown.Ticket = x.r.URL.Query().Get("ticket")
	}
	return shown
}

// bearer is the token of the one Authorization header, or empty. The scheme is
// case-insensitive (RFC 9110, 11.1).
func bearer(header http.Header) string {
	values := header["Authorization"]
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// refused tells the hook about a refusal. Public operations identify people
// themselves and record what comes of it.
func (x *exchange) refused(e *edge, code string, status int) {
	if status != http.StatusUnauthorized && status != http.StatusForbidden {
		return
	}
	if x.operation == nil || x.operation.Public || e.hooks.Refused == nil {
		return
	}
	e.hooks.Refused(x.ctx, Refusal{OperationID: x.operation.ID, Code: code, Status: status})
}
