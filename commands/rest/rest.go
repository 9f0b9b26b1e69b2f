// Package rest binds the commands to their operations in the OpenAPI document: a
// request becomes a command, its receipt an answer.
package rest

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/httpx"
)

// visibleWithin is how long an answer waits for the read models to show the
// command's effect.
const visibleWithin = 2 * time.Second

// Visibility waits until what a command wrote can be read.
type Visibility interface {
	// Await returns once every read model that handles one of the event types
	// has reached the position, or reports that they lag behind.
	Await(ctx context.Context, at eventlog.Position, types []string) (lagging bool)
}

// Commands implements the document's operations that append.
type Commands struct {
	Handlers   *commands.Handlers
	Visibility Visibility
	Tickets    Tickets
	Providers  Providers
}

// appended tells the client where the command's events are, once they can be
// read; past the bound it says that they cannot yet.
func (c Commands) appended(ctx context.Context, r commands.Receipt) {
	h := httpx.Header(ctx)
	h.Set("X-Commit-Position", r.Position.String())
	if r.Replayed {
		h.Set("Idempotency-Replayed", "true")
	}
	types := r.Types()
	if len(types) == 0 { // nothing had to change: what made it so may be a moment old
		types = eventschema.All.Names()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), visibleWithin)
	defer cancel()
	if c.Visibility.Await(ctx, r.Position, types) {
		h.Set("X-Read-Model", "lagging")
	}
}

// changed is appended for a change of an item, whose new version it names.
func (c Commands) changed(ctx context.Context, r commands.Receipt) {
	if len(r.Events) > 0 {
		httpx.Header(ctx).Set("ETag", api.ETag(r.Revision))
	}
	c.appended(ctx, r)
}

// created is appended for a creation. What is created begins with its stream's
// first event, whose revision is its first version; that of the receipt may be a
// later one, when the creation is replayed.
func (c Commands) created(ctx context.Context, r commands.Receipt) {
	httpx.Header(ctx).Set("ETag", api.ETag(0))
	c.appended(ctx, r)
}

var done = api.OK{OK: true}

var errIfMatch = fault.New(fault.Invalid, "invalid_request", "If-Match is not an ETag as the server gave it.").With("field", "If-Match")

// match reads If-Match (RFC 9110, 13.1.1): nil when there is none or any version
// will do. A weak tag never matches.
func match(header *string) (*int64, error) {
	if header == nil || strings.TrimSpace(*header) == "*" {
		return nil, nil
	}
	tag := strings.TrimSpace(*header)
	if strings.HasPrefix(tag, "W/") {
		never := int64(math.MinInt64) // the settings have the version -1 before they are changed
		return &never, nil
	}
	if tag == api.DefaultsTag {
		defaults := eventlog.NoStream
		return &defaults, nil
	}
	tag, ok := strings.CutPrefix(tag, `"`)
	tag, ok2 := strings.CutSuffix(tag, `"`)
	revision, err := strconv.ParseInt(tag, 10, 64)
	if !ok || !ok2 || err != nil {
		return nil, errIfMatch
	}
	return &revision, nil
}

func or(value *string, otherwise string) string {
	if value == nil {
		return otherwise
	}
	return *value
}

func orEmpty(object api.FreeObject) api.FreeObject {
	if len(object) == 0 {
		return api.FreeObject(`{}`)
	}
	return object
}

func trimmed(value *string) *string {
	if value == nil {
		return nil
	}
	t := strings.TrimSpace(*value)
	return &t
}

// given tells a list that is empty from one that is absent.
func given(list []string) *[]string {
	if list == nil {
		return nil
	}
	return &list
}

// wrote is the command's event of type E; a command that succeeded has it.
func wrote[E any](r commands.Receipt) E {
	for _, e := range r.Events {
		if e, ok := e.(E); ok {
			return e
		}
	}
	var zero E
	return zero
}
