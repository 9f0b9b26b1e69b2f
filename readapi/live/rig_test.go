package live_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/eventlog/eventlogtest"
	"github.com/g4fagent/g4fagent/internal/feed"
	"github.com/g4fagent/g4fagent/readapi/live"
)

const (
	// patience is how long a test waits for what must happen.
	patience = 20 * time.Second
	journal  = "session-s"
)

var many = live.Limits{PerUser: 10_000, PerNode: 10_000}

func message(text string) eventschema.MessagePosted {
	content, err := json.Marshal([]map[string]string{{"type": "text", "text": text}})
	if err != nil {
		panic(err)
	}
	return eventschema.MessagePosted{
		SessionID: "s", ProjectID: "p", MessageID: "msg_1", Role: "user", Content: content, Meta: json.RawMessage(`{}`),
	}
}

func output(run, text string) eventschema.RunOutputAppended {
	return eventschema.RunOutputAppended{SessionID: "s", ProjectID: "p", RunID: run, Attempt: 1, Step: 1, MessageID: "msg_2", Text: text}
}

func completed(run string) eventschema.RunCompleted {
	return eventschema.RunCompleted{SessionID: "s", ProjectID: "p", RunID: run, MessageID: "msg_2", Summary: "x"}
}

func stored(t testing.TB, e eventschema.Event) eventschema.Stored {
	t.Helper()
	st, err := eventschema.All.Encode(e, eventschematest.Sealer{})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// book is a log in memory, and the live end of it.
type book struct {
	t   testing.TB
	hub *live.Hub

	mu      sync.Mutex
	records map[string][]eventlog.Record
	reads   int
	err     error
}

func newBook(t testing.TB) *book {
	t.Helper()
	return &book{t: t, records: map[string][]eventlog.Record{}}
}

// hubOn makes a hub that b's live end is told to.
func hubOn(b *book, s eventschema.Sealer, limits live.Limits) *live.Hub {
	b.hub = live.NewHub(b, s, limits, slog.New(slog.DiscardHandler), nil)
	return b.hub
}

func (b *book) Read(_ context.Context, stream string, from int64, limit int) ([]eventlog.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads++
	all := b.records[stream]
	from = min(max(from, 0), int64(len(all)))
	return append([]eventlog.Record(nil), all[from:min(int(from)+limit, len(all))]...), b.err
}

// write appends events to a stream without telling the hub.
func (b *book) write(stream string, events ...eventschema.Event) []eventlog.Record {
	b.t.Helper()
	var added []eventlog.Record
	for _, e := range events {
		added = append(added, b.put(stream, stored(b.t, e)))
	}
	return added
}

func (b *book) put(stream string, st eventschema.Stored) eventlog.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := uint64(len(b.records[stream])) + 1
	r := eventlog.Record{
		ID: uuid.New(), Stream: stream, Revision: int64(at) - 1, Position: eventlog.Position{Commit: at, Prepare: at},
		Meta: eventlog.Meta{At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, Stored: st,
	}
	b.records[stream] = append(b.records[stream], r)
	return r
}

// append appends events to a stream.
func (b *book) append(stream string, events ...eventschema.Event) {
	b.t.Helper()
	for _, r := range b.write(stream, events...) {
		b.hub.Watch(r)
	}
}

// node is a hub on a real log.
type node struct {
	t   testing.TB
	log *eventlog.Log
	hub *live.Hub
}

func newNode(t testing.TB) *node {
	t.Helper()
	n := &node{t: t, log: eventlogtest.Open(t)}
	n.hub = live.NewHub(n.log, eventschematest.Sealer{}, many, slog.New(slog.DiscardHandler), nil)
	f := feed.New(n.log, time.Now)
	f.Watch(n.hub.Watch)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the feed ended with %v", err)
		}
	})
	begun, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	if err := f.Begun(begun); err != nil {
		t.Fatal(err)
	}
	return n
}

// append appends events to a stream, whoever else does.
func (n *node) append(stream string, events ...eventschema.Event) {
	n.t.Helper()
	batch := make([]eventlog.Event, len(events))
	for i, e := range events {
		batch[i] = eventlog.Event{ID: uuid.New(), Stored: stored(n.t, e), Meta: eventlog.Meta{At: time.Now().UTC()}}
	}
	if _, err := n.log.Append(n.t.Context(), stream, eventlog.Any, batch...); err != nil {
		n.t.Error(err)
	}
}

// client is one that a stream is written to. It reads as it arrives, unless it
// was told to stop reading.
type client struct {
	mu       sync.Mutex
	header   http.Header
	code     int
	got      bytes.Buffer
	arrived  chan struct{} // closed, and replaced, when something changes
	deadline time.Time
	stalled  bool
	gone     bool

	cancel context.CancelFunc
	ended  chan error
}

func newClient() *client {
	return &client{header: http.Header{}, arrived: make(chan struct{}), ended: make(chan error, 1)}
}

func (c *client) Header() http.Header { return c.header }

func (c *client) WriteHeader(code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.code = code
}

func (c *client) changed() {
	close(c.arrived)
	c.arrived = make(chan struct{})
}

func (c *client) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.stalled && !c.gone {
		changed, late := c.arrived, time.NewTimer(time.Until(c.deadline))
		c.mu.Unlock()
		select {
		case <-changed:
			late.Stop()
			c.mu.Lock()
		case <-late.C:
			c.mu.Lock()
			if !time.Now().Before(c.deadline) {
				return 0, os.ErrDeadlineExceeded
			}
		}
	}
	if c.gone {
		return 0, errors.New("connection reset")
	}
	c.got.Write(b)
	c.changed()
	return len(b), nil
}

func (c *client) Flush() {}

func (c *client) SetWriteDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = at
	c.changed()
	return nil
}

func (c *client) SetReadDeadline(time.Time) error { return nil }

// stall stops reading, and reads on.
func (c *client) stall(stalled bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stalled = stalled
	c.changed()
}

func (c *client) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got.String()
}

// sent is one frame of a stream.
type sent struct {
	id      int64 // -1 without
	event   string
	data    string
	comment bool
}

func parse(t testing.TB, text string) []sent {
	t.Helper()
	var all []sent
	for block := range strings.SplitSeq(text, "\n\n") {
		if block == "" || strings.HasPrefix(block, "retry: ") {
			continue
		}
		s := sent{id: -1}
		for line := range strings.SplitSeq(block, "\n") {
			name, value, ok := strings.Cut(line, ": ")
			switch {
			case name == "":
				s.comment = true
			case name == "id":
				id, err := strconv.ParseInt(value, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				s.id = id
			case name == "event":
				s.event = value
			case name == "data":
				s.data = value
			case ok:
				t.Fatalf("field %q in %q", name, block)
			default:
				continue // the last frame has not arrived whole
			}
		}
		all = append(all, s)
	}
	return all
}

// frames are those that arrived, without comments.
func (c *client) frames(t testing.TB) []sent {
	t.Helper()
	text := c.text()
	text = text[:strings.LastIndex(text, "\n\n")+2]
	var all []sent
	for _, s := range parse(t, text) {
		if !s.comment {
			all = append(all, s)
		}
	}
	return all
}

func (c *client) ids(t testing.TB) []int64 {
	t.Helper()
	var ids []int64
	for _, s := range c.frames(t) {
		if s.id >= 0 {
			ids = append(ids, s.id)
		}
	}
	return ids
}

// end is the reason that the stream gave, empty if it gave none.
func (c *client) end(t testing.TB) string {
	t.Helper()
	frames := c.frames(t)
	if len(frames) == 0 || frames[len(frames)-1].event != "end" {
		return ""
	}
	var data struct{ Reason string }
	if err := json.Unmarshal([]byte(frames[len(frames)-1].data), &data); err != nil {
		t.Fatal(err)
	}
	return data.Reason
}

// until waits for something to be true of the client.
func (c *client) until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	late := time.After(patience)
	for {
		c.mu.Lock()
		changed := c.arrived
		c.mu.Unlock()
		if holds() {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%s: not within %s; the client has\n%s", what, patience, c.text())
		}
	}
}

// has waits for a frame's id.
func (c *client) has(t testing.TB, id int64) {
	t.Helper()
	want := fmt.Sprintf("id: %d\n", id)
	c.until(t, "the client has "+strconv.FormatInt(id, 10), func() bool { return strings.Contains(c.text(), want) })
}

// over waits for the stream's end.
func (c *client) over(t testing.TB) error {
	t.Helper()
	select {
	case err := <-c.ended:
		return err
	case <-time.After(patience):
		t.Fatalf("the stream has not ended within %s; the client has\n%s", patience, c.text())
		return nil
	}
}

// leave closes the connection.
func (c *client) leave() {
	c.mu.Lock()
	c.gone = true
	c.changed()
	c.mu.Unlock()
	c.cancel()
}

func allowed(context.Context) error { return nil }

// follow serves a stream to a client of its own. What s leaves out is usual.
func follow(ctx context.Context, s live.Stream) *client {
	if s.Journal == "" {
		s.Journal = journal
	}
	if s.Check == nil {
		s.Check = allowed
	}
	if s.Stopping == nil {
		s.Stopping = context.Background()
	}
	c := newClient()
	ctx, c.cancel = context.WithCancel(ctx)
	go func() { c.ended <- s.Serve(ctx, c) }()
	return c
}
