package projectiontest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/projections"
)

// Log is a list of records that an Engine can follow and read. It stands for the
// log in tests of what comes after it; it knows nothing of appending commands.
// It is safe for concurrent use.
type Log struct {
	Sealer *Sealer
	// Repeat delivers every message that many times more.
	Repeat int
	// Step is the distance between positions; 100 if zero.
	Step uint64

	mu        sync.Mutex
	records   []eventlog.Record
	revisions map[string]int64
	grown     chan struct{}
}

var _ projections.Log = (*Log)(nil)

// NewLog is an empty log.
func NewLog() *Log {
	return &Log{Sealer: &Sealer{}, Step: 100, revisions: map[string]int64{}, grown: make(chan struct{})}
}

// Epoch is when the first event of a Log happens; each later one is a second
// after the one before it.
var Epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// With is e recorded as adjust says: it may change the stream, the revision and
// the metadata, but not the event.
func With(e eventschema.Event, adjust func(*eventlog.Record)) eventschema.Event {
	return adjusted{e, adjust}
}

type adjusted struct {
	eventschema.Event
	adjust func(*eventlog.Record)
}

// Append encodes and seals the events, and records them at the stream's next
// revisions.
func (l *Log) Append(stream string, events ...eventschema.Event) ([]eventlog.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := len(l.records)
	for _, e := range events {
		adjust := func(*eventlog.Record) {}
		if a, ok := e.(adjusted); ok {
			e, adjust = a.Event, a.adjust
		}
		stored, err := eventschema.All.Encode(e, l.Sealer)
		if err != nil {
			return nil, fmt.Errorf("append to %s: %w", stream, err)
		}
		l.add(stream, stored, adjust)
	}
	l.wake()
	return slices.Clone(l.records[from:]), nil
}

// AppendStored records an event as it is, be it one that no catalogue knows.
func (l *Log) AppendStored(stream string, stored eventschema.Stored) eventlog.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(stream, stored, func(*eventlog.Record) {})
	l.wake()
	return l.records[len(l.records)-1]
}

func (l *Log) add(stream string, stored eventschema.Stored, adjust func(*eventlog.Record)) {
	n := len(l.records) + 1
	at := eventlog.Position{Commit: uint64(n) * l.Step, Prepare: uint64(n) * l.Step}
	r := eventlog.Record{
		ID: uuid.NewSHA1(uuid.NameSpaceOID, []byte(strconv.Itoa(n))), Stream: stream, Revision: l.revisions[stream], Stored: stored,
		Meta: eventlog.Meta{
			At: Epoch.Add(time.Duration(n-1) * time.Second), ActorUserID: identity.SystemID, ActorKind: string(identity.System),
			RequestID: "req_" + strconv.Itoa(n),
		},
	}
	adjust(&r)
	r.Position, r.Stored, r.Meta.SchemaVersion = at, stored, stored.Version
	l.revisions[r.Stream] = r.Revision + 1
	l.records = append(l.records, r)
}

func (l *Log) wake() {
	close(l.grown)
	l.grown = make(chan struct{})
}

// Head is the position of the last record.
func (l *Log) Head(context.Context) (eventlog.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.records) == 0 {
		return eventlog.Position{}, nil
	}
	return l.records[len(l.records)-1].Position, nil
}

// ReadAll is a page of the records.
func (l *Log) ReadAll(_ context.Context, after eventlog.Position, limit int) ([]eventlog.Record, eventlog.Position, bool, error) {
	rest, _ := l.after(after)
	page := rest[:min(limit, len(rest))]
	if len(page) == 0 {
		return nil, after, false, nil
	}
	return page, page[len(page)-1].Position, len(rest) > len(page), nil
}

// after is what follows a position, and what is closed when there is more.
func (l *Log) after(position eventlog.Position) ([]eventlog.Record, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from, found := slices.BinarySearchFunc(l.records, position, func(r eventlog.Record, p eventlog.Position) int { return r.Position.Compare(p) })
	if found {
		from++
	}
	return slices.Clip(l.records[from:]), l.grown // records never change
}

// Source subscribes to the log as an Engine does.
func (l *Log) Source(after eventlog.Position) message.Subscriber {
	return &subscriber{log: l, after: after, closing: make(chan struct{})}
}

// subscriber delivers records as messages. It has one delivery.
type subscriber struct {
	log     *Log
	after   eventlog.Position
	once    sync.Once
	closing chan struct{}
	running sync.WaitGroup
}

// window is how many messages may wait to be taken.
const window = 2000

// Subscribe delivers what follows, for as long as it is listened to.
func (s *subscriber) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message, window)
	s.running.Go(func() {
		defer close(out)
		position := s.after
		for {
			records, grown := s.log.after(position)
			for _, r := range records {
				for range s.log.Repeat + 1 {
					select {
					case out <- Message(ctx, r):
					case <-ctx.Done():
						return
					case <-s.closing:
						return
					}
				}
				position = r.Position
			}
			select {
			case <-grown:
			case <-ctx.Done():
				return
			case <-s.closing:
				return
			}
		}
	})
	return out, nil
}

// Close ends the delivery.
func (s *subscriber) Close() error {
	s.once.Do(func() { close(s.closing) })
	s.running.Wait()
	return nil
}

// Message is r as a message.
func Message(ctx context.Context, r eventlog.Record) *message.Message {
	r.Meta.SchemaVersion = r.Stored.Version
	msg, err := eventlog.MessageOf(ctx, r)
	if err != nil {
		panic(err) // metadata are plain fields
	}
	return msg
}
