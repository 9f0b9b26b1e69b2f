// Package identity says on whose behalf, and under which request, work is done.
package identity

import "context"

// ActorKind tells people, agents and the server itself apart.
type ActorKind string

// The kinds of actors.
const (
	User   ActorKind = "user"
	Agent  ActorKind = "agent"
	System ActorKind = "system"
)

// SystemID is the user id of the server itself.
const SystemID = "system"

// Principal is who a request acts as.
type Principal struct {
	UserID string
	Kind   ActorKind
	// CredentialID names the API key that proved the identity, or else the login
	// family.
	CredentialID string
	// LoginFamily is the login that the request acts through, or empty.
	LoginFamily string
	Roles       []string
}

// Server is the principal of what the server does by itself.
func Server() Principal { return Principal{UserID: SystemID, Kind: System} }

// Anonymous reports whether nobody was identified.
func (p Principal) Anonymous() bool { return p.UserID == "" }

// Request is what an HTTP request contributes to the events it causes.
type Request struct {
	ID          string
	IP          string
	OperationID string
	// Path is the request's path below the base path; with the principal, the
	// operation and a key it is the scope of idempotency.
	Path string
	// TraceID is the W3C trace id that the client sent, or empty.
	TraceID string
	// IdempotencyKey is the client's key, or empty.
	IdempotencyKey string
	// Input is the body's bytes: a keyed hash of them tells a repeated request
	// from another one. It may hold secrets and is never stored.
	Input []byte
}

type principalKey struct{}

type requestKey struct{}

// WithPrincipal puts p into ctx.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalOf is the principal in ctx, anonymous when there is none.
func PrincipalOf(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// WithRequest puts r into ctx.
func WithRequest(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestOf is the request in ctx, empty when there is none.
func RequestOf(ctx context.Context) Request {
	r, _ := ctx.Value(requestKey{}).(Request)
	return r
}
