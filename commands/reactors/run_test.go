package reactors_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
	"github.com/g4fagent/g4fagent/internal/agent/provider/aimocktest"
)

func TestARunIsAnswered(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	n := h.start(options{})
	session := h.session(h.project("p"), "custom")
	run := h.request(session, h.message(session, "why?"))
	journal := "session-" + session

	q := h.model.next(t)
	if want := []string{"user: why?"}; !slices.Equal(q.Messages, want) {
		t.Errorf("the model was told %q, want %q", q.Messages, want)
	}
	if !strings.HasPrefix(q.Trace, "00-"+traceID+"-") {
		t.Errorf("the model was asked in the trace %q, want %s", q.Trace, traceID)
	}
	q.say("because ")
	h.history.await(journal, "run.output_appended", 1) // what is said shows at once
	q.say("I say so")
	q.end()
	completed := h.history.await(journal, "run.completed", 1)
	h.history.mustBe(journal, "session.created", "message.posted", "run.requested", "run.started", "run.step_requested",
		"run.output_appended", "run.output_appended", "message.posted", "run.completed")
	h.mustAnswerOnce(session, run, "because I say so")

	done := read[eventschema.RunCompleted](t, completed)
	if done.Summary != "because I say so" || done.Usage.OutputTokens == nil || *done.Usage.OutputTokens != 5 {
		t.Errorf("the outcome is %+v", done)
	}
	records, _ := h.history.records(journal)
	if requested := records[2]; completed.Meta.CausationID != requested.ID.String() || completed.Meta.RequestID != requested.Meta.RequestID {
		t.Errorf("the outcome names %s as its cause, want %s", completed.Meta.CausationID, requested.ID)
	}
	if completed.Meta.ActorKind != "agent" || completed.Meta.ActorUserID != "system" {
		t.Errorf("the outcome is by %s %s", completed.Meta.ActorKind, completed.Meta.ActorUserID)
	}

	h.request(session, h.message(session, "really?"))
	q = h.model.next(t)
	if want := []string{"user: why?", "assistant: because I say so", "user: really?"}; !slices.Equal(q.Messages, want) {
		t.Errorf("the model was told %q, want %q", q.Messages, want)
	}
	q.say("yes")
	q.end()
	h.history.await(journal, "run.completed", 2)
	h.idle()
	if jobs := h.jobs(); jobs["execute_run completed"] != 2 || jobs["start_journal completed"] != 1 {
		t.Errorf("jobs %v", jobs)
	}
	h.until("the metrics show it", func() bool {
		return n.metric("g4fagent_runs_total", "completed") == 2 && n.metric("g4fagent_jobs_total", "execute_run") == 2
	})
}

func TestLongAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, outcome string }{
		{"fit", strings.Repeat("long answer ", 35_000), "run.completed"},                   // 420 kB
		{"fit until they are written as JSON", strings.Repeat(`"`, 450_000), "run.failed"}, // a backslash before each
		{"are cut off at their bound", strings.Repeat("endless ", 80_000), "run.failed"},   // 640 kB
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.start(options{})
			session, run := h.ask("why?")
			journal := "session-" + session
			q := h.model.next(t)
			q.say(tt.text)
			q.end()
			end := h.history.await(journal, tt.outcome, 1)
			if tt.outcome == "run.completed" {
				h.mustAnswerOnce(session, run, tt.text)
			} else if failed := read[eventschema.RunFailed](t, end); failed.Code != "answer_too_large" {
				t.Errorf("failed with %s", failed.Code)
			}
			records, _ := h.history.records(journal)
			var said strings.Builder
			for _, r := range records {
				if r.Stored.Name == "run.output_appended" {
					said.WriteString(read[eventschema.RunOutputAppended](t, r).Text)
				}
			}
			if said.String() != tt.text {
				t.Errorf("%d bytes of the answer's %d are in the journal", said.Len(), len(tt.text))
			}
		})
	}
}

func TestARunStartsSoon(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(options{})
	session := h.session(h.project("p"), "custom")
	var waits []time.Duration
	for range 10 {
		run := h.request(session, h.message(session, "why?"))
		began := time.Now()
		q := h.model.next(t)
		waits = append(waits, time.Since(began).Round(time.Millisecond))
		q.say("x")
		q.end()
		h.history.await("session-"+session, "run.completed", len(waits))
		h.mustAnswerOnce(session, run, "x")
	}
	slices.Sort(waits)
	t.Logf("from the request to the provider: median %s, longest %s", waits[5], waits[9])
	if waits[5] > time.Second {
		t.Errorf("runs reached the provider after %v", waits)
	}
}

func TestACanceledRunIsAborted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(h *house, session, run string)
		last []string
	}{
		{"when it is canceled", func(h *house, _, run string) {
			if _, err := h.handlers.CancelRun(h.by(), run); err != nil {
				h.t.Fatal(err)
			}
		}, []string{"run.canceled"}},
		{"when its session is closed", func(h *house, session, _ string) {
			if _, err := h.handlers.CloseSession(h.by(), session); err != nil {
				h.t.Fatal(err)
			}
		}, []string{"run.canceled", "session.closed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.start(options{})
			session, run := h.ask("why?")
			q := h.model.next(t)
			q.say("because")
			h.history.await("session-"+session, "run.output_appended", 1)
			canceled := time.Now()
			tt.end(h, session, run)
			took := q.mustBeAborted(t).Sub(canceled)
			t.Logf("aborted after %s", took)
			if took > 500*time.Millisecond {
				t.Errorf("the request to the provider was aborted after %s", took)
			}
			h.idle()
			names := h.history.names("session-" + session)
			if !slices.Equal(names[len(names)-len(tt.last):], tt.last) {
				t.Errorf("the journal ends with %q", names)
			}
			if jobs := h.jobs(); jobs["execute_run completed"] != 1 {
				t.Errorf("jobs %v", jobs)
			}
			h.model.mustNotBeAsked(t)
		})
	}
}

func TestAWaitingRunThatIsCanceledNeverStarts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, run := h.ask("why?")
	if _, err := h.handlers.CancelRun(h.by(), run); err != nil {
		t.Fatal(err)
	}
	session, second := h.ask("and why?")
	h.start(options{workers: 1})
	q := h.model.next(t)
	if !slices.Equal(q.Messages, []string{"user: and why?"}) {
		t.Errorf("the model was told %q", q.Messages)
	}
	q.say("so")
	q.end()
	h.history.await("session-"+session, "run.completed", 1)
	h.mustAnswerOnce(session, second, "so")
	h.idle()
	h.model.mustNotBeAsked(t)
}

func TestARunThatCannotBeAnsweredFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ provider, code, reason string }{
		{"unknown", "provider_not_found", "There is no such model provider."},
		{"down", "provider_unreachable", "the provider cannot be reached"},
	} {
		t.Run("since its provider is "+tt.provider, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.start(options{})
			session := h.session(h.project("p"), tt.provider)
			h.request(session, h.message(session, "why?"))
			failed := read[eventschema.RunFailed](t, h.history.await("session-"+session, "run.failed", 1))
			why := read[eventschema.RunErrored](t, h.history.await("session-"+session, "run.errored", 1))
			if failed.Code != tt.code || why.Code != tt.code || !strings.Contains(why.Message, tt.reason) {
				t.Errorf("failed with %s: %s", failed.Code, why.Message)
			}
			h.idle()
			if jobs := h.jobs(); jobs["execute_run completed"] != 1 {
				t.Errorf("jobs %v", jobs)
			}
		})
	}
}

// mocked is a provider that nobody here wrote.
type mocked struct{ *aimocktest.Server }

func (m mocked) Client(context.Context, string) (provider.Client, error) {
	return provider.New(provider.Config{ID: "openai", BaseURL: m.URL, APIKey: "k"}, http.DefaultClient)
}

func TestAProviderMayFailThreeTimes(t *testing.T) {
	t.Parallel()
	down := &aimocktest.Failure{Status: http.StatusInternalServerError, Message: "out of order"}
	mock := aimocktest.Start(t, aimocktest.Options{
		Answers:   []aimocktest.Answer{{Nth: 1, Fail: down}, {Nth: 2, Fail: down}, {Nth: 3, Fail: down}},
		Reply:     "at long last, an answer in several pieces",
		ChunkSize: 5, ChunkDelay: 30 * time.Millisecond,
	})
	h := newHouse(t)
	h.start(options{agent: agent.Options{Providers: mocked{mock}}})
	session, run := h.ask("why?")
	h.history.await("session-"+session, "run.completed", 1)
	h.mustAnswerOnce(session, run, "at long last, an answer in several pieces")
	if asked := len(mock.Requests(t)); asked != 4 {
		t.Errorf("the provider was asked %d times", asked)
	}
	outputs := 0
	for _, name := range h.history.names("session-" + session) {
		if name == "run.output_appended" {
			outputs++
		}
	}
	if outputs < 2 {
		t.Errorf("the answer came in %d pieces", outputs)
	}
}

func TestASecondAttemptFencesTheFirst(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(options{})
	session, run := h.ask("why?")
	journal := "session-" + session
	q := h.model.next(t)
	q.say("the first says")
	h.history.await(journal, "run.output_appended", 1)

	requested := h.history.await(journal, "run.requested", 1)
	second, err := h.handlers.Execute(h.by(), requested, "other")
	if err != nil {
		t.Fatal(err)
	}
	q.mustBeAborted(t)
	if err := second.Ask(h.by(), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := second.Complete(h.by(), "the second says", "the second says", eventschema.Usage{}); err != nil {
		t.Fatal(err)
	}
	h.idle()
	h.history.await(journal, "run.completed", 1)
	h.mustAnswerOnce(session, run, "the second says")
	superseded := read[eventschema.RunOutputSuperseded](t, h.history.await(journal, "run.output_superseded", 1))
	completed := read[eventschema.RunCompleted](t, h.history.await(journal, "run.completed", 1))
	if superseded.MessageID == completed.MessageID {
		t.Error("the answer has the id of the one that was taken back")
	}
	h.model.mustNotBeAsked(t)
}

func TestARunGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first := h.start(options{id: "first", grace: time.Millisecond})
	session, run := h.ask("why?")
	journal := "session-" + session
	q := h.model.next(t)
	q.say("half an answ")
	h.history.await(journal, "run.output_appended", 1)
	began := time.Now()
	first.stop()
	t.Logf("drained within %s", time.Since(began))
	q.mustBeAborted(t)
	if jobs := h.jobs(); jobs["execute_run available"] != 1 {
		t.Errorf("jobs %v", jobs)
	}
	h.history.mustBe(journal, "session.created", "message.posted", "run.requested", "run.started", "run.step_requested", "run.output_appended")

	h.start(options{id: "second"})
	q = h.model.next(t)
	q.say("a whole answer")
	q.end()
	h.history.await(journal, "run.completed", 1)
	h.mustAnswerOnce(session, run, "a whole answer")
	h.history.await(journal, "run.output_superseded", 1)
	if a := read[eventschema.RunAttemptStarted](t, h.history.await(journal, "run.started", 2)); a.Attempt != 2 || a.Node != "second" {
		t.Errorf("the second attempt is %+v", a)
	}
}

func TestARunMayEndWithinTheGrace(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	n := h.start(options{grace: patience})
	session, run := h.ask("why?")
	q := h.model.next(t)
	q.say("just ")
	h.history.await("session-"+session, "run.output_appended", 1)
	n.cancel(nil)
	q.say("in time")
	q.end()
	n.stop()
	h.history.await("session-"+session, "run.completed", 1)
	h.mustAnswerOnce(session, run, "just in time")
	if jobs := h.jobs(); jobs["execute_run completed"] != 1 {
		t.Errorf("jobs %v", jobs)
	}
}
