package eventlog

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/g4fagent/g4fagent/eventschema"
)

const readBound = 10 * time.Second

// Read returns up to limit events of a stream from revision from on, oldest
// first. A stream that does not exist has none.
func (l *Log) Read(ctx context.Context, stream string, from int64, limit int) ([]Record, error) {
	return l.readStream(ctx, stream, limit, esdb.ReadStreamOptions{
		Direction: esdb.Forwards, From: esdb.Revision(uint64(max(from, 0))),
	})
}

// ReadBack returns up to limit events of a stream from revision from downwards,
// newest first.
func (l *Log) ReadBack(ctx context.Context, stream string, from int64, limit int) ([]Record, error) {
	if from < 0 {
		return nil, nil
	}
	return l.readStream(ctx, stream, limit, esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.Revision(uint64(from))})
}

// ReadLast returns the last limit events of a stream, newest first.
func (l *Log) ReadLast(ctx context.Context, stream string, limit int) ([]Record, error) {
	return l.readStream(ctx, stream, limit, esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}})
}

func (l *Log) readStream(ctx context.Context, stream string, limit int, o esdb.ReadStreamOptions) ([]Record, error) {
	records, err := patient(l, ctx, readBound, func(ctx context.Context, conn *connection) ([]Record, error) {
		page, err := conn.client.ReadStream(ctx, stream, o, uint64(limit))
		if err != nil {
			return nil, err
		}
		return collect(conn, page)
	})
	if isCode(err, esdb.ErrorCodeResourceNotFound) {
		return nil, nil
	}
	return records, readable("read stream "+stream, err)
}

// ReadAll returns up to limit events of the whole log after position, in log
// order, those of the server itself left out: a page may be empty although more
// follow. More is false when the end was reached; next is where to go on.
func (l *Log) ReadAll(ctx context.Context, after Position, limit int) (page []Record, next Position, more bool, err error) {
	records, err := patient(l, ctx, readBound, func(ctx context.Context, conn *connection) ([]Record, error) {
		o := esdb.ReadAllOptions{Direction: esdb.Forwards, From: esdb.Start{}}
		if !after.IsZero() {
			o.From = esdb.Position{Commit: after.Commit, Prepare: after.Prepare}
		}
		// Reads of the whole log include the event at their start.
		stream, err := conn.client.ReadAll(ctx, o, uint64(limit)+1)
		if err != nil {
			return nil, err
		}
		return collect(conn, stream)
	})
	if err != nil {
		return nil, after, false, readable("read the whole log", err)
	}
	next = after
	for _, r := range records {
		if !after.Less(r.Position) {
			continue
		}
		next = r.Position
		if !system(r) {
			page = append(page, r)
		}
	}
	return page, next, len(records) > limit, nil
}

// Head is the position of the log's last event, those of the server itself left
// out: followers reach it. It is zero for an empty log.
func (l *Log) Head(ctx context.Context) (Position, error) {
	last, err := l.Last(ctx)
	return last.Position, err
}

// Last is the log's last event, those of the server itself left out. It is the
// zero Record for an empty log.
func (l *Log) Last(ctx context.Context) (Record, error) {
	last, err := patient(l, ctx, readBound, readLast)
	return last, readable("read the log's end", err)
}

// headPage is how many events at the log's end are looked at first: a server may
// write some for itself now and then.
const headPage = 16

func readLast(ctx context.Context, conn *connection) (Record, error) {
	var from esdb.AllPosition = esdb.End{}
	for limit := uint64(headPage); ; limit = min(limit*2, 4096) {
		page, err := conn.client.ReadAll(ctx, esdb.ReadAllOptions{Direction: esdb.Backwards, From: from}, limit)
		if err != nil {
			return Record{}, err
		}
		records, err := collect(conn, page)
		if err != nil {
			return Record{}, err
		}
		for _, r := range records {
			if !system(r) {
				return r, nil
			}
		}
		if uint64(len(records)) < limit {
			return Record{}, nil
		}
		last := records[len(records)-1].Position // reads backwards leave out their start
		from = esdb.Position{Commit: last.Commit, Prepare: last.Prepare}
	}
}

func collect(conn *connection, page *esdb.ReadStream) ([]Record, error) {
	defer page.Close()
	var records []Record
	for {
		e, err := page.Recv()
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return nil, err
		}
		conn.heard()
		if e.Event != nil {
			records = append(records, toRecord(e.Event))
		}
	}
}

// readable keeps what callers act on, an outage and their own leaving, and adds
// what was being done to everything else.
func readable(doing string, err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) || interrupted(err) {
		return err
	}
	return &operationError{doing: doing, err: err}
}

type operationError struct {
	doing string
	err   error
}

func (e *operationError) Error() string { return e.doing + ": " + e.err.Error() }
func (e *operationError) Unwrap() error { return e.err }

// toRecord never fails: an event that is not ours becomes a record that no
// catalogue decodes, and whoever needs it stops there, loudly.
func toRecord(e *esdb.RecordedEvent) Record {
	meta, err := parseMeta(e.UserMetadata)
	if err != nil {
		meta = Meta{}
	}
	return Record{
		ID:       e.EventID,
		Stream:   e.StreamID,
		Revision: int64(min(e.EventNumber, math.MaxInt64)),
		Position: known(e.Position.Commit, e.Position.Prepare),
		Meta:     meta,
		Stored:   eventschema.Stored{Name: e.EventType, Version: meta.SchemaVersion, Data: e.Data},
	}
}

// system reports whether the server wrote r for itself.
func system(r Record) bool { return len(r.Stored.Name) > 0 && r.Stored.Name[0] == '$' }
