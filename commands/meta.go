package commands

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/ident"
	"github.com/g4fagent/g4fagent/internal/identity"
)

// causeKey carries what made the server act by itself: the event that a reactor
// answers to.
type causeKey struct{}

// Because returns a context in which commands name r as their cause: what they
// append correlates with it.
func Because(ctx context.Context, r eventlog.Record) context.Context {
	return context.WithValue(ctx, causeKey{}, r)
}

// meta is what the events of a command carry beside themselves.
func (h *Handlers) meta(ctx context.Context, projectID string) eventlog.Meta {
	who, req := identity.PrincipalOf(ctx), identity.RequestOf(ctx)
	m := eventlog.Meta{
		At: h.instant(), ActorUserID: who.UserID, ActorKind: string(who.Kind), CredentialID: who.CredentialID,
		RequestID: req.ID, IP: req.IP, ProjectID: projectID, CorrelationID: correlation(req),
	}
	if cause, ok := ctx.Value(causeKey{}).(eventlog.Record); ok {
		m.CorrelationID, m.CausationID, m.RequestID = cause.Meta.CorrelationID, cause.ID.String(), cause.Meta.RequestID
		if m.CorrelationID == "" {
			m.CorrelationID = m.CausationID
		}
	}
	if scope := h.scope(ctx); scope != nil {
		m.IdempotencyKey = h.hash("idempotency key", scope...)
		m.InputHash = h.hash("input", req.Input)
	}
	return m
}

// correlation is what all events have in common that a request leads to.
func correlation(req identity.Request) string {
	if req.TraceID != "" {
		return req.TraceID
	}
	return req.ID
}

// instant is now, as the log has times.
func (h *Handlers) instant() time.Time { return inLog(h.now()) }

// inLog is a time as the log has times: in UTC, to the microsecond.
func inLog(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// scope is what an idempotency key is unique within, with the key; nil without.
func (h *Handlers) scope(ctx context.Context) [][]byte {
	who, req := identity.PrincipalOf(ctx), identity.RequestOf(ctx)
	if req.IdempotencyKey == "" {
		return nil
	}
	return [][]byte{[]byte(who.UserID), []byte(req.OperationID), []byte(req.Path), []byte(req.IdempotencyKey)}
}

// withoutKey returns a context whose commands carry no idempotency key: they
// complete a command that carries it.
func withoutKey(ctx context.Context) context.Context {
	req := identity.RequestOf(ctx)
	req.IdempotencyKey = ""
	return identity.WithRequest(ctx, req)
}

// completing is ctx for what completes the command behind r: it carries no
// idempotency key, and r's first event is its cause.
func completing(ctx context.Context, r Receipt) context.Context {
	if len(r.Events) > 0 {
		ctx = Because(ctx, r.why)
	}
	return withoutKey(ctx)
}

// newID is the id of what a command creates: fresh, or the one that the
// idempotency key determines.
func (h *Handlers) newID(ctx context.Context, prefix string) (string, error) {
	if scope := h.scope(ctx); scope != nil {
		return ident.FromSum(prefix, h.vault.HMAC("id "+prefix, scope...)), nil
	}
	return ident.New(prefix)
}

// eventID is the id of the nth event of what an event with id cause leads to: a
// completion that is repeated appends the same event.
func eventID(cause uuid.UUID, n int) uuid.UUID {
	return uuid.NewSHA1(cause, fmt.Appendf(nil, "completion %d", n))
}
