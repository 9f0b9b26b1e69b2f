package provider

import (
	"context"
	"time"
)

// Kind says what went wrong with a request to a provider.
type Kind string

// The kinds. KindProtocol is an answer that is none: a web page, a malformed
// stream, more than the limits allow.
const (
	KindNetwork     Kind = "network"
	KindRateLimited Kind = "rate_limited"
	KindServer      Kind = "server"
	KindAuth        Kind = "auth"
	KindInvalid     Kind = "invalid"
	KindNotFound    Kind = "not_found"
	KindCanceled    Kind = "canceled"
	KindTimeout     Kind = "timeout"
	KindProtocol    Kind = "protocol"
)

// Error is a request to a provider that did not succeed. It deliberately wraps
// nothing: an SDK's error drags the request along, with the key in its headers.
type Error struct {
	Kind Kind
	// Status is the HTTP status, zero when there was no response or it was a
	// success that went wrong later.
	Status int
	// Message is readable, one line, bounded, and free of secrets.
	Message string
	// RetryAfter is what the provider asked for; zero when it did not.
	RetryAfter time.Duration

	final bool // the kind is usually worth another try, this one is not
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Retryable reports whether the same request may succeed later.
func (e *Error) Retryable() bool {
	switch e.Kind {
	case KindNetwork, KindRateLimited, KindServer, KindTimeout:
		return !e.final
	default:
		return false
	}
}

// Is makes errors.Is find context.Canceled and context.DeadlineExceeded in the
// kinds that mean them.
func (e *Error) Is(target error) bool {
	return e.Kind == KindCanceled && target == context.Canceled ||
		e.Kind == KindTimeout && target == context.DeadlineExceeded
}

func invalid(message string) *Error { return &Error{Kind: KindInvalid, Message: message} }
