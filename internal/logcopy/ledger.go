package logcopy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// A ledger is the stream $copy-<n> of the target, where n counts the copies that
// the log has gone through: the ledgers of earlier ones are copied with it. Its
// events are JSON.
const (
	ledgerPrefix = "$copy-"
	// startedType is a ledger's first event: what is copied, and since when.
	startedType = "$copy-started"
	// pageType says how far the copy is, and tells for each event, by stream and
	// revision, when it was created in the source.
	pageType = "$copied"
	// verifiedType says that the copy was compared with the source up to a position,
	// event by event, and with which digest.
	verifiedType = "$copy-verified"
)

func ledgerStream(n int) string { return ledgerPrefix + strconv.Itoa(n) }

type started struct {
	Source     string    `json:"source"`
	FirstEvent uuid.UUID `json:"first_event"`
	At         time.Time `json:"at"`
}

type position struct {
	Commit  uint64 `json:"commit"`
	Prepare uint64 `json:"prepare"`
}

// page is how far the copy is. It is in every event but the first, so that the
// last tells where to go on.
type page struct {
	// Position is the source's, of the last event copied.
	Position position `json:"position"`
	// Events counts all events copied so far.
	Events   int        `json:"events"`
	Appends  []appended `json:"appends,omitempty"`
	Verified *verified  `json:"verified,omitempty"`
}

// appended are events of one stream, and when each was created in the source.
type appended struct {
	Stream   string      `json:"stream"`
	Revision uint64      `json:"revision"` // of the first
	Created  []time.Time `json:"created"`
}

type verified struct {
	Streams int       `json:"streams"`
	Digest  string    `json:"digest"`
	At      time.Time `json:"at"`
}

// ledger is that of a copy under way.
type ledger struct {
	store  *Store
	stream string
	next   uint64
	last   page
	// at is the target's position of the ledger's last event: what was copied since
	// lies behind it.
	at esdb.Position
}

// openLedger finds the ledger of a copy of from in to, or begins it. The target
// must be empty to begin one.
func openLedger(ctx context.Context, from, to *Store, now func() time.Time) (*ledger, error) {
	l := &ledger{store: to}
	for n := 1; ; n++ {
		l.stream = ledgerStream(n)
		e, err := from.first(ctx, l.stream)
		if err != nil {
			return nil, err
		}
		if e == nil {
			break
		}
	}
	source, err := firstEvent(ctx, from)
	if err != nil {
		return nil, err
	}
	if source == nil {
		return nil, fmt.Errorf("%s: %w", from.name, ErrNothing)
	}
	begun, err := to.first(ctx, l.stream)
	if err != nil {
		return nil, err
	}
	if begun != nil {
		return l, l.resume(ctx, begun, source)
	}
	if other, err := firstEvent(ctx, to); err != nil || other != nil {
		return nil, errors.Join(err, fmt.Errorf("%s has %s: %w", to.name, describe(other), ErrNotEmpty))
	}
	return l, l.write(ctx, startedType, started{Source: from.name, FirstEvent: source.EventID, At: now().UTC()})
}

func firstEvent(ctx context.Context, s *Store) (*esdb.RecordedEvent, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the read
	defer cancel()
	for e, err := range s.events(ctx, esdb.Position{}) {
		if err != nil || copied(e.StreamID) {
			return e, err
		}
	}
	return nil, nil
}

func (l *ledger) resume(ctx context.Context, begun, source *esdb.RecordedEvent) error {
	var s started
	if err := json.Unmarshal(begun.Data, &s); err != nil || s.FirstEvent != source.EventID {
		return errors.Join(err, fmt.Errorf("%s holds a copy of a log that begins with %s, the source begins with %s: %w",
			l.store.name, s.FirstEvent, source.EventID, ErrNotEmpty))
	}
	last, err := l.store.last(ctx, l.stream)
	if err != nil {
		return err
	}
	l.next, l.at = last.EventNumber+1, last.Position
	if last.EventNumber == 0 {
		return nil
	}
	if err := json.Unmarshal(last.Data, &l.last); err != nil {
		return fmt.Errorf("read the ledger %s: %w", l.stream, err)
	}
	l.last.Appends, l.last.Verified = nil, nil
	return nil
}

// write appends to the ledger. A copy that runs at the same time makes it fail.
func (l *ledger) write(ctx context.Context, eventType string, content any) error {
	data, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	err = l.store.append(ctx, l.stream, l.next, []esdb.EventData{{
		EventID: uuid.New(), EventType: eventType, ContentType: esdb.ContentTypeJson, Data: data,
	}})
	if err != nil {
		return err
	}
	l.next++
	return nil
}

// holds reports whether a stream is this copy's own, which no comparison heeds.
func (l *ledger) holds(stream string) bool { return stream == l.stream || stream == "$$"+l.stream }

// Reader reads streams.
type Reader interface {
	// Read returns up to limit events of a stream from revision from on.
	Read(ctx context.Context, stream string, from int64, limit int) ([]eventlog.Record, error)
}

// Lineage tells copies of one log apart: positions of one say nothing about
// another. It is empty for a log that is no copy, and otherwise the id of the event
// with which the copy began.
func Lineage(ctx context.Context, log Reader) (string, error) {
	id := ""
	for n := 1; ; n++ {
		first, err := log.Read(ctx, ledgerStream(n), 0, 1)
		if err != nil {
			return "", fmt.Errorf("look for the copies that the log has gone through: %w", err)
		}
		if len(first) == 0 {
			return id, nil
		}
		id = first[0].ID.String()
	}
}
