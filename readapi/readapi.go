// Package readapi answers the document's GET operations: lists and items from the
// read models; streams, run events and the audit from the log itself.
package readapi

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/httpx"
	"github.com/g4fagent/g4fagent/internal/ident"
	"github.com/g4fagent/g4fagent/projections"
	"github.com/g4fagent/g4fagent/readapi/live"
)

// What is not there.
var (
	errProjectNotFound = fault.New(fault.NotFound, "project_not_found", "There is no such project.")
	errSessionNotFound = fault.New(fault.NotFound, "session_not_found", "There is no such session.")
	errRunNotFound     = fault.New(fault.NotFound, "run_not_found", "There is no such run.")
	errUserNotFound    = fault.New(fault.NotFound, "user_not_found", "There is no such user.")
)

// Log is what reads need of the log.
type Log interface {
	Read(ctx context.Context, stream string, from int64, limit int) ([]eventlog.Record, error)
}

// Reads implements the document's GET operations.
type Reads struct {
	DB     projections.Querier
	Log    Log
	Sealer eventschema.Sealer
	Sum    ident.Sum
	Hub    *live.Hub
	Access *Access
	// Progress waits for read models.
	Progress Progress
	// Providers asks the model providers themselves.
	Providers Providers
	// Stopping ends when the server wants its streams to end.
	Stopping context.Context //nolint:containedctx // the server's life, not a request's
	Now      func() time.Time
	Node     Node
}

// A page's size: what the client asked for, within bounds.
const (
	defaultLimit = 50
	maxLimit     = 200
)

func limit(asked *int) int {
	if asked == nil {
		return defaultLimit
	}
	return min(max(*asked, 1), maxLimit)
}

func cursor(asked *int64) int64 {
	if asked == nil {
		return 0
	}
	return max(*asked, 0)
}

// page shows up to limit of the rows, of which there is one more when another
// page follows; place is where a row stands in the list.
func page[Row, Item any](rows []Row, limit int, show func(Row) Item, place func(Row) int64) ([]Item, *string) {
	var next *string
	if len(rows) > limit {
		rows = rows[:limit]
		cursor := strconv.FormatInt(place(rows[limit-1]), 10)
		next = &cursor
	}
	items := make([]Item, len(rows))
	for i, r := range rows {
		items[i] = show(r)
	}
	return items, next
}

// text is a filter's text; spaces around it do not matter.
func text(filter *string) string {
	if filter == nil {
		return ""
	}
	return strings.TrimSpace(*filter)
}

func setETag(ctx context.Context, revision int64) {
	httpx.Header(ctx).Set("ETag", api.ETag(revision))
}

func timeOf(t *api.Time) *time.Time { return (*time.Time)(t) }
