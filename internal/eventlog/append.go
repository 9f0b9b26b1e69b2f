package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
)

const (
	// MaxAppend bounds the bytes of one append, with room below the server's
	// own limit of 1 MiB for what it adds.
	MaxAppend = 900 << 10

	appendBound = 5 * time.Second
	// appendDeadline bounds an append and the search for its outcome.
	appendDeadline = 15 * time.Second
	tailWindow     = 256
)

// Append adds events to stream, all of them or none, at revision expected, and
// returns once they are durable and readable. The caller's leaving does not stop
// it: an append has a deadline of its own.
//
// It fails with ErrConflict when the stream is at another revision and with
// ErrUnavailable when the log is away: nothing was appended then. An outcome that
// is unknown (a deadline, a lost connection) is found out by looking for the
// events' ids; only when even that is impossible until the deadline, ErrUnknown
// leaves it open.
func (l *Log) Append(ctx context.Context, stream string, expected int64, events ...Event) (Receipt, error) {
	data, err := toEventData(events)
	if err != nil {
		return Receipt{}, fmt.Errorf("append to %s: %w", stream, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendDeadline)
	defer cancel()
	start := time.Now()
	receipt, outcome, err := l.appendKnown(ctx, stream, expected, events, data)
	l.metrics.appends.WithLabelValues(outcome).Inc()
	if err != nil {
		return Receipt{}, err
	}
	l.metrics.latency.Observe(time.Since(start).Seconds())
	return receipt, nil
}

// appendKnown appends until the outcome is known or ctx ends.
func (l *Log) appendKnown(ctx context.Context, stream string, expected int64, events []Event, data []esdb.EventData) (Receipt, string, error) {
	sent := false
	for pause := 20 * time.Millisecond; ; pause = min(pause*2, time.Second) {
		receipt, err := l.appendOnce(ctx, stream, expected, data)
		if err == nil {
			return receipt, "appended", nil
		}
		if refused := refusal(stream, err); refused != nil {
			return Receipt{}, outcomeOf(refused), refused
		}
		if sent = sent || !errors.Is(err, errUnsent); !sent {
			return Receipt{}, "unsent", ErrUnavailable
		}
		receipt, found, err := l.find(ctx, stream, expected, events)
		switch {
		case err == nil && found:
			return receipt, "found", nil
		case errors.Is(err, ErrConflict):
			return Receipt{}, "conflict", err
		case ctx.Err() != nil, l.connector.isClosed():
			return Receipt{}, "unknown", ErrUnknown
		}
		wait(ctx, pause)
	}
}

func (l *Log) appendOnce(ctx context.Context, stream string, expected int64, data []esdb.EventData) (Receipt, error) {
	return call(l.connector, ctx, l.patience, appendBound, func(ctx context.Context, conn *connection) (Receipt, error) {
		res, err := conn.client.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: expectation(expected)}, data...)
		if err != nil {
			return Receipt{}, err
		}
		return Receipt{
			Revision: int64(res.NextExpectedVersion),
			Position: known(res.CommitPosition, res.PreparePosition),
		}, nil
	})
}

// refusal is what err means when the server has decided, nil when the outcome
// is unknown.
func refusal(stream string, err error) error {
	if isCode(err, esdb.ErrorCodeWrongExpectedVersion) {
		return ErrConflict
	}
	if isCode(err, esdb.ErrorCodeStreamDeleted) || isCode(err, esdb.ErrorCodeAccessDenied) || isCode(err, esdb.ErrorCodeUnauthenticated) {
		return fmt.Errorf("append to %s: %w", stream, err)
	}
	switch statusOf(err) {
	case codes.InvalidArgument:
		return ErrTooLarge
	case codes.ResourceExhausted:
		return ErrFull
	default:
		return nil
	}
}

func outcomeOf(refused error) string {
	switch {
	case errors.Is(refused, ErrConflict):
		return "conflict"
	case errors.Is(refused, ErrFull):
		return "full"
	default:
		return "refused"
	}
}

// find looks for events where an append of unknown outcome would have put them.
// ErrConflict says that somebody else's events are there instead.
func (l *Log) find(ctx context.Context, stream string, expected int64, events []Event) (Receipt, bool, error) {
	if expected == Any {
		tail, err := l.ReadLast(ctx, stream, tailWindow)
		if err != nil {
			return Receipt{}, false, err
		}
		last := events[len(events)-1].ID
		if i := slices.IndexFunc(tail, func(r Record) bool { return r.ID == last }); i >= 0 {
			return Receipt{tail[i].Revision, tail[i].Position}, true, nil
		}
		return Receipt{}, false, nil
	}
	there, err := l.Read(ctx, stream, expected+1, len(events))
	if err != nil || len(there) == 0 {
		return Receipt{}, false, err
	}
	if len(there) != len(events) || !slices.EqualFunc(there, events, func(r Record, e Event) bool { return r.ID == e.ID }) {
		return Receipt{}, false, ErrConflict
	}
	last := there[len(there)-1]
	return Receipt{last.Revision, last.Position}, true, nil
}

func expectation(expected int64) esdb.ExpectedRevision {
	switch expected {
	case NoStream:
		return esdb.NoStream{}
	case Any:
		return esdb.Any{}
	default:
		return esdb.Revision(uint64(expected))
	}
}

func toEventData(events []Event) ([]esdb.EventData, error) {
	if len(events) == 0 {
		return nil, errors.New("no events") // the server would answer that it succeeded
	}
	size := 0
	data := make([]esdb.EventData, len(events))
	for i, e := range events {
		if e.ID == uuid.Nil {
			return nil, errors.New("an event without id") // the client would make a new one each time
		}
		e.Meta.SchemaVersion = e.Stored.Version
		meta, err := json.Marshal(e.Meta)
		if err != nil {
			return nil, fmt.Errorf("write event metadata: %w", err)
		}
		data[i] = esdb.EventData{
			EventID: e.ID, EventType: e.Stored.Name, ContentType: esdb.ContentTypeJson, Data: e.Stored.Data, Metadata: meta,
		}
		size += len(data[i].Data) + len(meta) + 2*len(data[i].EventType)
	}
	if size > MaxAppend {
		return nil, ErrTooLarge
	}
	return data, nil
}
