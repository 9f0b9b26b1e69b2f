package engine

import (
	"bytes"
	"context"
	"errors"
	"strconv"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// Resolved is an event as a reader gets it. When links are resolved, an event
// that is a link is given as Link, and its target, if it can still be shown, as
// Event. Its place in the reading is always the link's.
type Resolved struct {
	Event *storage.Event
	Link  *storage.Event
}

// resolve follows a link. Every other event is given as it is.
func (e *Engine) resolve(ctx context.Context, event *storage.Event) (Resolved, error) {
	if string(event.Type) != linkType {
		return Resolved{Event: event}, nil
	}
	target, found, err := e.target(ctx, event)
	if err != nil || !found {
		return Resolved{Link: event}, err
	}
	return Resolved{Event: target, Link: event}, nil
}

func (e *Engine) target(ctx context.Context, link *storage.Event) (*storage.Event, bool, error) {
	revision, stream, ok := parseLink(link.Data)
	if !ok {
		return nil, false, nil
	}
	w, err := e.window(ctx, stream)
	if _, deleted := errors.AsType[*DeletedError](err); deleted {
		return nil, false, nil
	}
	if err != nil || revision < w.low || revision > w.Last {
		return nil, false, err
	}
	event, found, err := e.log.Event(stream, uint64(revision))
	if err != nil || !found || event.Created < w.since {
		return nil, false, err
	}
	return event, true, nil
}

// parseLink reads a link's data, which is revision@stream.
func parseLink(data []byte) (revision int64, stream string, ok bool) {
	number, name, ok := bytes.Cut(data, []byte{'@'})
	revision, err := strconv.ParseInt(string(number), 10, 64)
	return revision, string(name), ok && err == nil && len(name) > 0
}
