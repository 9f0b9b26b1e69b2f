package reactors_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/eventlog/eventlogtest"
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

// traceID is the trace that every person's request is part of.
const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"

// by is a person's context.
func (h *house) by() context.Context {
	ctx := identity.WithPrincipal(h.t.Context(), identity.Principal{UserID: "user_a", Kind: identity.User})
	return identity.WithRequest(ctx, identity.Request{ID: "req_" + uuid.NewString(), TraceID: traceID})
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

// startedBefore counts the runs that the queue started before a session's first.
func (h *house) startedBefore(session string) (n int) {
	h.t.Helper()
	err := h.db.Pool().QueryRow(h.t.Context(), `
		select count(*) from river.river_job
		 where kind = 'execute_run' and attempted_at < (
		       select min(attempted_at) from river.river_job where kind = 'execute_run' and args ->> 'stream' = 'session-' || $1)`,
		session).Scan(&n)
	if err != nil {
		h.t.Fatal(err)
	}
	return n
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
