// Package fault gives errors a kind that a caller can act on and a code that a
// client can.
package fault

import (
	"errors"
	"fmt"
	"maps"
	"time"
)

// Kind says what the caller should do about an error. Package httpx maps each
// kind to one HTTP status, and is the only place that does.
type Kind uint8

// The kinds. Internal is the zero value: an error that nobody classified.
const (
	Internal Kind = iota
	Invalid
	Unauthorized
	Forbidden
	NotFound
	MethodNotAllowed
	Conflict
	Precondition
	TooLarge
	RateLimited
	Unavailable
	NotImplemented
)

// Error is a failure that the API documents. Errors are immutable: With and
// After return changed copies, and errors.Is compares by code alone, so that a
// copy still is the package variable it was made from.
type Error struct {
	Kind Kind
	// Code is stable, in snake_case, and listed in the OpenAPI document.
	Code string
	// Text is for people and may be shown to any client.
	Text string
	// Details are machine readable; they never hold a secret.
	Details map[string]any
	// RetryAfter, when positive, tells the client how long to wait.
	RetryAfter time.Duration
}

// New makes an error of a kind, with its stable code and a text for people.
func New(kind Kind, code, text string) *Error { return &Error{Kind: kind, Code: code, Text: text} }

// Error is the text for people.
func (e *Error) Error() string { return e.Text }

// Is reports whether target has the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// With is a copy of e that carries one more detail.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Details = maps.Clone(e.Details)
	if c.Details == nil {
		c.Details = map[string]any{}
	}
	c.Details[key] = value
	return &c
}

// Saying is a copy of e with another text, formatted as by fmt.Sprintf.
func (e *Error) Saying(format string, args ...any) *Error {
	c := *e
	c.Text = fmt.Sprintf(format, args...)
	return &c
}

// After is a copy of e that asks the client to come back in d.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// Retryable reports whether the same request may succeed later.
func (e *Error) Retryable() bool {
	switch e.Kind {
	case RateLimited, Unavailable:
		return true
	default:
		return e.Code == "conflict" || e.Code == "in_progress"
	}
}

// KindOf is err's kind; an error that nobody classified is Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
