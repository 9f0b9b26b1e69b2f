package commands_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/eventlog/eventlogtest"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/internal/token"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

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

// clock is a time that moves when a test says so.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// plain keeps passwords as they are: what hashing costs matters to no rule here.
type plain struct{ nobody *int }

func (plain) Hash(_ context.Context, password string) (string, error) { return "is " + password, nil }

func (plain) Verify(_ context.Context, verifier, password string) (bool, error) {
	return verifier == "is "+password, nil
}

func (p plain) VerifyNobody(context.Context, string) error {
	if p.nobody != nil {
		*p.nobody++
	}
	return nil
}

var errWeak = fault.New(fault.Invalid, "invalid_request", "weak")

type rules struct{}

func (rules) Check(password string, _ ...string) error {
	if password == "weak" {
		return errWeak
	}
	return nil
}

// open admits everybody, and counts who succeeded.
type open struct {
	mu        sync.Mutex
	succeeded int
}

func (*open) Admit(string, string) error { return nil }

func (o *open) Succeeded(string, string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.succeeded++
}

// rig is one node: handlers on a log that other rigs may share.
type rig struct {
	*commands.Handlers

	t        testing.TB
	log      *eventlog.Log
	clock    *clock
	tokens   *token.Tokens
	throttle *open
	refusals *commands.Refusals
	metrics  *prometheus.Registry
}

func newRig(t testing.TB, configure ...func(*commands.Options)) *rig {
	t.Helper()
	return rigOn(t, eventlogtest.Open(t), configure...)
}

// rigOn makes a node on a log. Each configure may change its options first.
func rigOn(t testing.TB, log *eventlog.Log, configure ...func(*commands.Options)) *rig {
	t.Helper()
	r := &rig{t: t, log: log, clock: newClock(), throttle: &open{}, metrics: prometheus.NewRegistry()}
	var err error
	r.tokens, err = token.New(token.Options{
		Issuer: "inst_test", Keys: [][32]byte{{1}}, AccessTTL: time.Hour, Hash: keys{}.HMAC, Now: r.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.refusals = commands.NewRefusals(eventlog.Publisher{Log: log}, keys{}, r.clock.Now, slog.New(slog.DiscardHandler))
	o := commands.Options{
		Log: log, Vault: keys{}, Passwords: plain{}, Rules: rules{}, Tokens: r.tokens, Throttle: r.throttle, Refusals: r.refusals,
		Now: r.clock.Now, Limits: commands.Limits{MaxSessionsPerProject: 10_000, RefreshTTL: 24 * time.Hour}, Registerer: r.metrics,
	}
	for _, c := range configure {
		c(&o)
	}
	if r.Handlers, err = commands.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

func (r *rig) close() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.t.Context()), patience)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		r.t.Errorf("close the handlers: %v", err)
	}
}

// request is what a test's command comes with.
type request struct {
	user, key, path, input string
}

// by is the context of a request.
func (r *rig) by(q request) context.Context {
	if q.user == "" {
		q.user = "user_a"
	}
	if q.path == "" {
		q.path = "/path"
	}
	ctx := identity.WithPrincipal(r.t.Context(), identity.Principal{UserID: q.user, Kind: identity.User, CredentialID: "login_1"})
	return identity.WithRequest(ctx, identity.Request{
		ID: "req_" + uuid.NewString(), IP: "192.0.2.7", OperationID: "op", Path: q.path, IdempotencyKey: q.key, Input: []byte(q.input),
	})
}

// someone is a request without a key.
func (r *rig) someone() context.Context { return r.by(request{}) }

func (r *rig) project() string {
	r.t.Helper()
	return written[eventschema.ProjectCreated](r.t, must(r.CreateProject(r.someone(), newProject("p")))(r.t)).ProjectID
}

func newProject(name string) commands.CreateProject {
	return commands.CreateProject{Name: name, Status: "active", Environment: "dev", Repo: json.RawMessage(`{}`)}
}

func newSession(project string) commands.CreateSession {
	return commands.CreateSession{
		ProjectID: project, Title: "s", Status: "active", ProviderID: "custom", ModelID: "m",
		Config: json.RawMessage(`{}`), Memory: json.RawMessage(`{"m":1}`), Tags: []string{},
	}
}

// session opens one, in a project of its own when project is empty.
func (r *rig) session(project string) string {
	r.t.Helper()
	if project == "" {
		project = r.project()
	}
	return written[eventschema.ProjectSessionAdded](r.t, must(r.CreateSession(r.someone(), newSession(project)))(r.t)).Session.SessionID
}

func newMessage(session, text string) commands.PostMessage {
	content, err := json.Marshal([]map[string]string{{"type": "text", "text": text}})
	if err != nil {
		panic(err)
	}
	return commands.PostMessage{SessionID: session, Role: "user", Content: content, Meta: json.RawMessage(`{}`)}
}

func (r *rig) message(session, text string) string {
	r.t.Helper()
	return written[eventschema.MessagePosted](r.t, must(r.PostMessage(r.someone(), newMessage(session, text)))(r.t)).MessageID
}

// run asks for an answer to a message of its own.
func (r *rig) run(session string) string {
	r.t.Helper()
	receipt := must(r.StartRun(r.someone(), newRun(session, r.message(session, "why?"))))(r.t)
	return written[eventschema.RunRequested](r.t, receipt).RunID
}

func newRun(session, message string) commands.StartRun {
	return commands.StartRun{
		SessionID: session, Mode: "chat", Agent: json.RawMessage(`{}`), Input: json.RawMessage(`{"message_id":"` + message + `"}`),
	}
}

// records are a stream's events.
func (r *rig) records(stream string) []eventlog.Record {
	r.t.Helper()
	var all []eventlog.Record
	for {
		page, err := r.log.Read(r.t.Context(), stream, int64(len(all)), 1000)
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, page...)
		if len(page) < 1000 {
			return all
		}
	}
}

// names are those of a stream's events.
func (r *rig) names(stream string) []string {
	r.t.Helper()
	names := []string{}
	for _, record := range r.records(stream) {
		names = append(names, record.Stored.Name)
	}
	return names
}

// append puts events where another process would have left them.
func (r *rig) append(stream string, expected int64, meta eventlog.Meta, events ...eventschema.Event) {
	r.t.Helper()
	batch := make([]eventlog.Event, len(events))
	for i, e := range events {
		stored, err := eventschema.All.Encode(e, keys{})
		if err != nil {
			r.t.Fatal(err)
		}
		batch[i] = eventlog.Event{ID: uuid.New(), Stored: stored, Meta: meta}
	}
	if _, err := r.log.Append(r.t.Context(), stream, expected, batch...); err != nil {
		r.t.Fatal(err)
	}
}

// conflicts counts the appends that met another revision.
func (r *rig) conflicts() float64 { return r.sum("g4fagent_command_conflicts_total") }

func (r *rig) sum(metric string) float64 {
	r.t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	total := 0.0
	for _, f := range families {
		if f.GetName() == metric {
			for _, m := range f.GetMetric() {
				total += m.GetCounter().GetValue()
			}
		}
	}
	return total
}

// must takes a command's answer and lets it not be an error.
func must(receipt commands.Receipt, err error) func(testing.TB) commands.Receipt {
	return func(t testing.TB) commands.Receipt {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return receipt
	}
}

// written is the command's event of type E.
func written[E eventschema.Event](t testing.TB, r commands.Receipt) E {
	t.Helper()
	for _, e := range r.Events {
		if e, ok := e.(E); ok {
			return e
		}
	}
	t.Fatalf("the command appended %v", r.Types())
	panic("unreachable")
}

// decoded is an event as its record has it.
func decoded[E eventschema.Event](t testing.TB, r eventlog.Record) E {
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

func refused(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}

// together runs n calls at the same time and waits for them.
func together(n int, call func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			call(i)
		})
	}
	close(start)
	all.Wait()
}
