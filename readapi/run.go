package readapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/ident"
	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/projections/messages"
	"github.com/g4fagent/g4fagent/projections/runs"
	"github.com/g4fagent/g4fagent/projections/sessions"
	"github.com/g4fagent/g4fagent/readapi/live"
)

// GetRun answers GET /runs/{run_id}.
func (q Reads) GetRun(ctx context.Context, r api.GetRunRequestObject) (api.GetRunResponseObject, error) {
	row, err := q.run(ctx, r.RunID)
	if err != nil {
		return nil, err
	}
	return api.GetRun200JSONResponse{Run: run(row)}, nil
}

func (q Reads) run(ctx context.Context, id string) (runs.Run, error) {
	row, found, err := runs.ByID(ctx, q.DB, id)
	if err == nil && !found {
		err = errRunNotFound
	}
	return row, err
}

func run(r runs.Run) api.Run {
	shown := api.Run{
		ID: r.ID, SessionID: r.SessionID, Status: api.RunStatus(r.Status), Progress: r.Progress,
		StartedAt: api.Time(r.StartedAt), EndedAt: (*api.Time)(r.EndedAt),
		Usage: api.RunUsage{InputTokens: r.InputTokens, OutputTokens: r.OutputTokens, CostUsd: r.CostUSD},
	}
	if r.Status == "completed" {
		shown.Result = api.RunResult{MessageID: &r.MessageID, Summary: &r.Summary, DiffIds: []string{}}
	}
	return shown
}

// eventPage is how many events of the journal one page of run events may read:
// other runs' events may stand between, and the cursor moves past them.
const eventPage = 1000

// ListRunEvents answers GET /runs/{run_id}/events from the journal. The cursor is
// the revision of the last event that the client has.
func (q Reads) ListRunEvents(ctx context.Context, r api.ListRunEventsRequestObject) (api.ListRunEventsResponseObject, error) {
	row, err := q.run(ctx, r.RunID)
	if err != nil {
		return nil, err
	}
	from := row.Requested
	if r.Params.Cursor != nil {
		from = max(from, *r.Params.Cursor+1)
	}
	n := limit(r.Params.Limit)
	items, last, more, err := q.runEvents(ctx, row, from, n)
	if err != nil {
		return nil, err
	}
	answer := api.ListRunEvents200JSONResponse{Items: items}
	if more {
		next := strconv.FormatInt(last, 10)
		answer.NextCursor = &next
	}
	return answer, nil
}

// runEvents reads up to n events of the run; more says that the run may have
// others behind the revision last.
func (q Reads) runEvents(ctx context.Context, row runs.Run, from int64, n int) (items []api.RunEvent, last int64, more bool, err error) {
	items, last = []api.RunEvent{}, from-1
	records, err := q.Log.Read(ctx, "session-"+row.SessionID, from, eventPage)
	if err != nil {
		return nil, 0, false, err
	}
	for _, record := range records {
		if row.Ended != nil && record.Revision > *row.Ended {
			return items, last, false, nil
		}
		e, shown, err := live.Show(record, q.Sealer)
		if err != nil {
			return nil, 0, false, err
		}
		last = record.Revision
		if !shown || e.RunID != row.ID || e.Type == "message" {
			continue
		}
		items = append(items, e.Data)
		if len(items) == n {
			return items, last, row.Ended == nil || last < *row.Ended, nil
		}
	}
	return items, last, len(records) == eventPage, nil
}

// StreamSession answers GET /stream/sessions/{session_id}.
func (q Reads) StreamSession(ctx context.Context, r api.StreamSessionRequestObject) (api.StreamSessionResponseObject, error) {
	if _, err := q.session(ctx, r.SessionID); err != nil {
		return nil, err
	}
	s := live.Stream{
		Hub: q.Hub, Journal: "session-" + r.SessionID, From: cursor(r.Params.FromCursor), Stopping: q.Stopping,
		Check: q.Access.Recheck, Settled: q.settled, User: identity.PrincipalOf(ctx).UserID,
	}
	if r.Params.LastEventID != nil {
		s.From = max(s.From, *r.Params.LastEventID+1)
	}
	if r.Params.RunID != nil {
		s.RunID = *r.Params.RunID
		if of, ok := ident.SessionOf(q.Sum, s.RunID); !ok || of != r.SessionID {
			return nil, errRunNotFound
		}
		row, err := q.run(ctx, s.RunID)
		if err != nil {
			return nil, err
		}
		if row.Ended != nil && s.From > *row.Ended {
			return api.StreamSession204Response{}, nil
		}
	}
	return stream{ctx, s}, nil
}

// stream is the answer that does not end.
type stream struct {
	ctx  context.Context //nolint:containedctx // the answer is written under the request's context
	live live.Stream
}

// VisitStreamSessionResponse writes the stream.
func (s stream) VisitStreamSessionResponse(w http.ResponseWriter) error {
	return s.live.Serve(s.ctx, w)
}

// settledWithin is how long a stream waits for the read models before it tells
// of something.
const settledWithin = time.Second

// settled waits for the read models of sessions, messages and runs.
func (q Reads) settled(ctx context.Context, at eventlog.Position) {
	ctx, cancel := context.WithTimeout(ctx, settledWithin)
	defer cancel()
	q.Progress.Await(ctx, at, sessions.Name, messages.Name, runs.Name)
}
