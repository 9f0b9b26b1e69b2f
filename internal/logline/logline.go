// Package logline is the one line that the server logs for a request. Whoever
// works on the request adds what it knows; whoever opened the line writes it.
package logline

import (
	"context"
	"log/slog"
	"slices"
	"sync"
)

// maxAttrs bounds a line, whatever a loop adds to it.
const maxAttrs = 32

// Line collects attributes. Its methods may be called from several goroutines.
type Line struct {
	mu    sync.Mutex
	attrs []slog.Attr
}

type lineKey struct{}

// Open puts a new line into ctx.
func Open(ctx context.Context) (context.Context, *Line) {
	l := &Line{}
	return context.WithValue(ctx, lineKey{}, l), l
}

// Add adds attributes to the line in ctx: a stream, a revision, an outcome. An
// attribute whose key is on the line already replaces the older one, so that a
// command which tries again reports its last try. Attributes past the 32nd are
// dropped, and without a line in ctx nothing happens. Never add a secret or a
// body.
func Add(ctx context.Context, attrs ...slog.Attr) {
	l, ok := ctx.Value(lineKey{}).(*Line)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, attr := range attrs {
		i := slices.IndexFunc(l.attrs, func(a slog.Attr) bool { return a.Key == attr.Key })
		switch {
		case i >= 0:
			l.attrs[i] = attr
		case len(l.attrs) < maxAttrs:
			l.attrs = append(l.attrs, attr)
		}
	}
}

// Attrs is a copy of what was added so far, in the order of the first addition.
func (l *Line) Attrs() []slog.Attr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.attrs)
}
