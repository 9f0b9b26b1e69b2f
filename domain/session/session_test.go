package session_test

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/g4fagent/g4fagent/domain/session"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/spec"
)

type event = eventschema.SessionEvent

var (
	given   = spec.Given[session.State, event]
	created = eventschema.SessionCreated{
		SessionID: "s", ProjectID: "p", Title: "t", Status: "active", ProviderID: "openai", ModelID: "m",
		Config: json.RawMessage(`{"temperature":1}`), Memory: json.RawMessage(`{}`), Tags: []string{"a"},
	}
	closed    = eventschema.SessionClosed{SessionID: "s", ProjectID: "p"}
	hello     = eventschema.MessagePosted{SessionID: "s", ProjectID: "p", MessageID: "msg", Role: "user", Content: json.RawMessage(`[]`), Meta: json.RawMessage(`{}`)}
	requested = eventschema.RunRequested{
		SessionID: "s", ProjectID: "p", RunID: "r", MessageID: "msg", Mode: "chat", Agent: json.RawMessage(`{}`), Input: json.RawMessage(`{}`),
		ProviderID: "openai", ModelID: "m", Config: json.RawMessage(`{"temperature":1}`),
	}
	attempt1  = eventschema.RunAttemptStarted{SessionID: "s", ProjectID: "p", RunID: "r", Attempt: 1, Node: "n"}
	step1     = eventschema.RunStepRequested{SessionID: "s", RunID: "r", Attempt: 1, Step: 1, MessageID: "answer", Digest: "d"}
	completed = eventschema.RunCompleted{SessionID: "s", ProjectID: "p", RunID: "r", MessageID: "answer"}
	canceled  = eventschema.RunCanceled{SessionID: "s", ProjectID: "p", RunID: "r"}
)

func TestPost(t *testing.T) {
	t.Parallel()
	post := func(s session.State) ([]event, error) {
		e := hello
		e.ProjectID = "" // the session knows
		return s.Post(e)
	}
	given(t, created).When(post).Then(hello)
	given(t, created, closed).When(post).ThenError(session.ErrNotFound)
	given(t).When(post).ThenError(session.ErrNotFound)
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	update := func(e eventschema.SessionUpdated, match *int64) func(session.State) ([]event, error) {
		e.SessionID = "s"
		return func(s session.State) ([]event, error) { return s.Update(e, match) }
	}
	t.Run("records only what differs", func(t *testing.T) {
		t.Parallel()
		given(t, created).When(update(eventschema.SessionUpdated{Title: new("t"), Tags: new([]string{}), ModelID: new("m2")}, new(int64(0)))).
			Then(eventschema.SessionUpdated{SessionID: "s", ProjectID: "p", Tags: new([]string{}), ModelID: new("m2")})
	})
	t.Run("records nothing when nothing differs", func(t *testing.T) {
		t.Parallel()
		given(t, created).When(update(eventschema.SessionUpdated{Title: new("t"), Config: json.RawMessage(`{"temperature":1}`), Tags: new([]string{"a"})}, nil)).ThenNothing()
	})
	t.Run("is not disturbed by messages posted meanwhile", func(t *testing.T) {
		t.Parallel()
		given(t, created, hello).When(update(eventschema.SessionUpdated{Title: new("t2")}, new(int64(0)))).
			Then(eventschema.SessionUpdated{SessionID: "s", ProjectID: "p", Title: new("t2")})
	})
	t.Run("is refused when the session changed since it was seen", func(t *testing.T) {
		t.Parallel()
		given(t, created, eventschema.SessionUpdated{SessionID: "s", Title: new("x")}).
			When(update(eventschema.SessionUpdated{Title: new("y")}, new(int64(0)))).ThenError(session.ErrPrecondition)
	})
}

func TestRequestRun(t *testing.T) {
	t.Parallel()
	request := func(known bool) func(session.State) ([]event, error) {
		return func(s session.State) ([]event, error) {
			e := requested
			e.ProjectID, e.ProviderID, e.ModelID, e.Config = "", "", "", nil
			return s.RequestRun(e, known)
		}
	}
	t.Run("takes provider, model and config from the session", func(t *testing.T) {
		t.Parallel()
		given(t, created).When(request(true)).Then(requested)
	})
	t.Run("needs a message of the session", func(t *testing.T) {
		t.Parallel()
		given(t, created).When(request(false)).ThenError(session.ErrMessageNotFound)
		given(t).When(request(false)).ThenError(session.ErrNotFound)
	})
	t.Run("is refused when too many runs are unfinished", func(t *testing.T) {
		t.Parallel()
		past := []event{created}
		for range session.MaxOpenRuns {
			past = append(past, requested)
		}
		given(t, past...).When(request(true)).ThenError(session.ErrTooManyRuns)
	})
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	start := func(s session.State) ([]event, error) {
		return s.StartAttempt(eventschema.RunAttemptStarted{SessionID: "s", RunID: "r", Node: "n"})
	}
	finish := func(attempt int) func(session.State) ([]event, error) {
		return func(s session.State) ([]event, error) { return s.Continue("r", attempt, completed) }
	}
	t.Run("are counted", func(t *testing.T) {
		t.Parallel()
		given(t, created, requested).When(start).Then(attempt1)
	})
	t.Run("take back what the one before left unfinished", func(t *testing.T) {
		t.Parallel()
		attempt2 := attempt1
		attempt2.Attempt = 2
		given(t, created, requested, attempt1, step1).When(start).
			Then(attempt2, eventschema.RunOutputSuperseded{SessionID: "s", RunID: "r", Attempt: 2, Step: 1, MessageID: "answer"})
	})
	t.Run("shut out the one before", func(t *testing.T) {
		t.Parallel()
		attempt2 := attempt1
		attempt2.Attempt = 2
		given(t, created, requested, attempt1, attempt2).When(finish(1)).ThenError(session.ErrSuperseded)
		given(t, created, requested, attempt1, attempt2).When(finish(2)).Then(completed)
	})
	t.Run("end with the run", func(t *testing.T) {
		t.Parallel()
		for _, last := range []event{completed, canceled, eventschema.RunFailed{SessionID: "s", RunID: "r"}} {
			given(t, created, requested, attempt1, last).When(finish(1)).ThenError(session.ErrSuperseded)
			given(t, created, requested, attempt1, last).When(start).ThenError(session.ErrSuperseded)
		}
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	cancel := func(s session.State) ([]event, error) {
		return s.CancelRun(eventschema.RunCanceled{SessionID: "s", RunID: "r"})
	}
	given(t, created, requested).When(cancel).Then(canceled)
	given(t, created, requested, completed).When(cancel).ThenNothing()
	given(t, created, requested, closed).When(cancel).ThenError(session.ErrRunNotFound)
}

func TestCloseEndsEveryRun(t *testing.T) {
	t.Parallel()
	given(t, created, requested).When(func(s session.State) ([]event, error) { return s.Close("s") }).Then(canceled, closed)
	given(t, created, closed).When(func(s session.State) ([]event, error) { return s.Close("s") }).ThenNothing()
}

// No event of a run follows its terminal one, whatever executors, cancellations
// and deletions do in whatever order.
func TestNothingFollowsTheEndOfARun(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var s session.State
		next, ended := int64(0), false
		take := func(events []event, err error) {
			if err != nil {
				return
			}
			for _, e := range events {
				if isRun(e) && ended {
					rt.Fatalf("%T after the end", e)
				}
				switch e.EventName() {
				case "run.completed", "run.failed", "run.canceled":
					ended = true
				}
				s = s.Evolve(e, next)
				next++
			}
		}
		take(s.Create(created))
		take(s.RequestRun(requested, true))
		for range rapid.IntRange(1, 20).Draw(rt, "moves") {
			attempt := rapid.IntRange(1, 3).Draw(rt, "attempt")
			switch rapid.IntRange(0, 5).Draw(rt, "move") {
			case 0:
				take(s.StartAttempt(eventschema.RunAttemptStarted{SessionID: "s", RunID: "r"}))
			case 1:
				take(s.Continue("r", attempt, step1))
			case 2:
				take(s.Continue("r", attempt, hello, completed))
			case 3:
				take(s.Continue("r", attempt, eventschema.RunErrored{RunID: "r"}, eventschema.RunFailed{RunID: "r"}))
			case 4:
				take(s.CancelRun(eventschema.RunCanceled{RunID: "r"}))
			case 5:
				take(s.Close("s"))
			}
		}
	})
}

func isRun(e event) bool { return len(e.EventName()) > 4 && e.EventName()[:4] == "run." }
