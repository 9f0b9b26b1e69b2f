package reactors_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/commands/reactors"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/eventlog/eventlogtest"
	"github.com/g4fagent/g4fagent/internal/feed"
	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/internal/postgres"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

const installation = "inst_test"

// keys is a vault whose seals a test can read.
type keys struct{ eventschematest.Sealer }

func (keys) HMAC(purpose string, parts ...[]byte) [32]byte {
	mac := hmac.New(sha256.New, []byte(purpose))
	for _, part := range parts {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write(part)
	}
	return [32]byte(mac.Sum(nil))
}

// house is all that reactors live in. It outlives them.
type house struct {
	t        *testing.T
	log      *eventlog.Log
	db       *postgres.DB
	handlers *commands.Handlers
	model    *model
	history  *history
}

func newHouse(t *testing.T) *house {
	t.Helper()
	return houseOn(t, eventlogtest.Open(t), postgrestest.Open(t))
}

func houseOn(t *testing.T, log *eventlog.Log, db *postgres.DB) *house {
	t.Helper()
	h := &house{t: t, log: log, db: db, model: newModel(t), handlers: handlersOn(t, log)}
	h.history = follow(t, h.log)
	return h
}

func handlersOn(t *testing.T, log *eventlog.Log) *commands.Handlers {
	t.Helper()
	h, err := commands.New(commands.Options{
		Log: log, Vault: keys{}, Now: time.Now, Limits: commands.Limits{MaxProjects: 1000, MaxSessionsPerProject: 1000},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close the handlers: %v", err)
		}
	})
	return h
}

// node is a running set of reactors.
type node struct {
	*reactors.Reactors

	house   *house
	feed    *feed.Feed
	metrics *prometheus.Registry
	said    *said
	cancel  context.CancelCauseFunc
	ended   chan error
}

// options of a node; zero is usual.
type options struct {
	id      string
	workers int
	grace   time.Duration
	agent   agent.Options
}

// node makes reactors that do not run yet.
func (h *house) node(o options) *node {
	h.t.Helper()
	if o.id == "" {
		o.id = "node"
	}
	if o.agent.Providers == nil {
		o.agent.Providers = h.model
	}
	n := &node{house: h, feed: feed.New(h.log, time.Now), metrics: prometheus.NewRegistry(), said: &said{}, ended: make(chan error, 1)}
	r, err := reactors.New(reactors.Options{
		DB: h.db, Log: h.log, Feed: n.feed, Handlers: h.handlers, Executor: agent.New(o.agent), Sealer: keys{},
		InstallationID: installation, NodeID: o.id, RunWorkers: o.workers, Grace: o.grace,
		Logger: slog.New(n.said), Registerer: n.metrics,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	reactors.SetRetry(r, 50*time.Millisecond)
	n.Reactors = r
	return n
}

// start makes reactors and runs them until stop or the test's end.
func (h *house) start(o options) *node {
	h.t.Helper()
	n := h.node(o)
	n.run()
	h.until("the reactors run", func() bool { return n.Status() != nil })
	return n
}

func (n *node) run() {
	t := n.house.t
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(t.Context()))
	n.cancel = cancel
	feeding := make(chan struct{})
	go func() {
		defer close(feeding)
		if err := n.feed.Run(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("feed: %v", err)
		}
	}()
	go func() {
		n.ended <- n.Run(ctx)
		close(n.ended)
	}()
	t.Cleanup(func() {
		n.stop()
		<-feeding
		if t.Failed() {
			t.Logf("the node said:\n%s", n.said)
		}
	})
}

// stop ends the node as a signal would.
func (n *node) stop() {
	n.cancel(nil)
	n.house.t.Helper()
	select {
	case err := <-n.ended:
		if err != nil && !errors.Is(err, postgres.ErrLeadershipLost) {
			n.house.t.Errorf("the node ended with %v", err)
		}
	case <-time.After(patience):
		n.house.t.Error("the node did not end")
	}
}

// said keeps what a node logged, for the message of a failed test.
type said struct {
	mu    sync.Mutex
	lines []string
}

func (*said) Enabled(context.Context, slog.Level) bool { return true }
func (s *said) WithAttrs([]slog.Attr) slog.Handler     { return s }
func (s *said) WithGroup(string) slog.Handler          { return s }

func (s *said) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
	return nil
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines[max(0, len(s.lines)-30):], "\n")
}

// by is a person's context.
func (h *house) by() context.Context {
	ctx := identity.WithPrincipal(h.t.Context(), identity.Principal{UserID: "user_a", Kind: identity.User})
	return identity.WithRequest(ctx, identity.Request{ID: "req_" + uuid.NewString()})
}

func (h *house) project(name string) string {
	h.t.Helper()
	r, err := h.handlers.CreateProject(h.by(), commands.CreateProject{Name: name, Repo: json.RawMessage(`{}`)})
	if err != nil {
		h.t.Fatal(err)
	}
	return eventOf[eventschema.ProjectCreated](h.t, r).ProjectID
}

func (h *house) session(project, provider string) string {
	h.t.Helper()
	r, err := h.handlers.CreateSession(h.by(), commands.CreateSession{
		ProjectID: project, Title: "s", Status: "active", ProviderID: provider, ModelID: "m",
		Config: json.RawMessage(`{}`), Memory: json.RawMessage(`{}`), Tags: []string{},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return eventOf[eventschema.ProjectSessionAdded](h.t, r).Session.SessionID
}

func (h *house) message(session, text string) string {
	h.t.Helper()
	content, err := json.Marshal([]map[string]string{{"type": "text", "text": text}})
	if err != nil {
		h.t.Fatal(err)
	}
	r, err := h.handlers.PostMessage(h.by(), commands.PostMessage{SessionID: session, Role: "user", Content: content, Meta: json.RawMessage(`{}`)})
	if err != nil {
		h.t.Fatal(err)
	}
	return eventOf[eventschema.MessagePosted](h.t, r).MessageID
}

func (h *house) request(session, message string) string {
	h.t.Helper()
	r, err := h.handlers.StartRun(h.by(), commands.StartRun{
		SessionID: session, Mode: "chat", Agent: json.RawMessage(`{}`), Input: json.RawMessage(`{"message_id":"` + message + `"}`),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return eventOf[eventschema.RunRequested](h.t, r).RunID
}

// ask posts a message in a session of its own and asks for an answer.
func (h *house) ask(text string) (session, run string) {
	h.t.Helper()
	session = h.session(h.project("p"), "custom")
	return session, h.request(session, h.message(session, text))
}

func eventOf[E eventschema.Event](t *testing.T, r commands.Receipt) E {
	t.Helper()
	for _, e := range r.Events {
		if e, ok := e.(E); ok {
			return e
		}
	}
	t.Fatalf("the command appended %v", r.Types())
	panic("unreachable")
}

// append puts events where a crash would have left them.
func (h *house) append(stream string, expected int64, events ...eventschema.Event) eventlog.Receipt {
	h.t.Helper()
	batch := make([]eventlog.Event, len(events))
	for i, e := range events {
		stored, err := eventschema.All.Encode(e, keys{})
		if err != nil {
			h.t.Fatal(err)
		}
		batch[i] = eventlog.Event{ID: uuid.New(), Stored: stored, Meta: eventlog.Meta{At: time.Now().UTC(), ActorUserID: "user_a", ActorKind: "user"}}
	}
	receipt, err := h.log.Append(h.t.Context(), stream, expected, batch...)
	if err != nil {
		h.t.Fatal(err)
	}
	return receipt
}

// history is the whole log as it grows.
type history struct {
	t    *testing.T
	mu   sync.Mutex
	all  []eventlog.Record
	grew chan struct{}
}

func follow(t *testing.T, log *eventlog.Log) *history {
	t.Helper()
	h := &history{t: t, grew: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := log.Follow(ctx, eventlog.Position{}, func(item eventlog.Item) error {
			if !item.CaughtUp && !item.Lost {
				h.add(item.Record)
			}
			return nil
		})
		if ctx.Err() == nil {
			t.Errorf("follow the log: %v", err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return h
}

func (h *history) add(r eventlog.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, r)
	close(h.grew)
	h.grew = make(chan struct{})
}

// records are those of a stream, of all if it is empty, so far.
func (h *history) records(stream string) ([]eventlog.Record, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []eventlog.Record
	for _, r := range h.all {
		if stream == "" || r.Stream == stream {
			found = append(found, r)
		}
	}
	return found, h.grew
}

// names of a stream's events, in order.
func (h *history) names(stream string) []string {
	records, _ := h.records(stream)
	names := make([]string, len(records))
	for i, r := range records {
		names[i] = r.Stored.Name
	}
	return names
}

// await waits until a stream has n events of a name, and returns the nth.
func (h *history) await(stream, name string, n int) eventlog.Record {
	h.t.Helper()
	late := time.After(patience)
	for {
		records, grew := h.records(stream)
		found := 0
		for _, r := range records {
			if r.Stored.Name == name {
				if found++; found == n {
					return r
				}
			}
		}
		select {
		case <-grew:
		case <-late:
			h.t.Fatalf("%s has no %s number %d within %s: %q", stream, name, n, patience, h.names(stream))
		}
	}
}

// mustBe compares the stream's events with these.
func (h *history) mustBe(stream string, want ...string) {
	h.t.Helper()
	if got := h.names(stream); !slices.Equal(got, want) {
		h.t.Errorf("%s holds\n  %q, want\n  %q", stream, got, want)
	}
}

func read[E eventschema.Event](t *testing.T, r eventlog.Record) E {
	t.Helper()
	ev, err := eventschema.All.Decode(r.Stored, keys{})
	if err != nil {
		t.Fatal(err)
	}
	e, ok := ev.(E)
	if !ok {
		t.Fatalf("%s at %d is %s", r.Stream, r.Revision, r.Stored.Name)
	}
	return e
}

// mustAnswerOnce asks that the run's session holds one assistant's message, which
// is this text, and that nothing of the run follows its end.
func (h *house) mustAnswerOnce(session, run, text string) {
	h.t.Helper()
	records, _ := h.history.records("session-" + session)
	var answers []string
	over := false
	for _, r := range records {
		ev, err := eventschema.All.Decode(r.Stored, keys{})
		if err != nil {
			h.t.Fatal(err)
		}
		switch e := ev.(type) {
		case eventschema.MessagePosted:
			if e.RunID == run {
				answers = append(answers, string(e.Content))
			}
		case eventschema.RunOutputAppended:
			if over && e.RunID == run {
				h.t.Error("output follows the run's end")
			}
		case eventschema.RunCompleted:
			over = over || e.RunID == run
		}
	}
	want, err := json.Marshal([]map[string]string{{"type": "text", "text": text}})
	if err != nil {
		h.t.Fatal(err)
	}
	if !slices.Equal(answers, []string{string(want)}) {
		h.t.Errorf("the answers are %q, want one: %s", answers, want)
	}
}

// jobs counts the queue's rows by kind and state.
func (h *house) jobs() map[string]int {
	h.t.Helper()
	rows, err := h.db.Pool().Query(h.t.Context(), `select kind || ' ' || state::text, count(*) from river.river_job group by 1`)
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	counts := map[string]int{}
	for rows.Next() {
		var key string
		var n int
		if err := rows.Scan(&key, &n); err != nil {
			h.t.Fatal(err)
		}
		counts[key] = n
	}
	if err := rows.Err(); err != nil {
		h.t.Fatal(err)
	}
	return counts
}

// until polls for what only Postgres knows.
func (h *house) until(what string, holds func() bool) {
	h.t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	late := time.After(patience)
	for !holds() {
		select {
		case <-poll.C:
		case <-late:
			h.t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// idle waits until no job is waiting or running.
func (h *house) idle() {
	h.t.Helper()
	h.until("the queue is idle: "+fmt.Sprint(h.jobs()), func() bool {
		var busy int
		err := h.db.Pool().QueryRow(h.t.Context(), `
			select count(*) from river.river_job where state not in ('completed', 'cancelled', 'discarded')`).Scan(&busy)
		if err != nil {
			h.t.Fatal(err)
		}
		return busy == 0
	})
}
