package reactors_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/commands/reactors"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

func TestPriorities(t *testing.T) {
	t.Parallel()
	var got []int
	for unfinished := range 18 {
		got = append(got, reactors.Priority(unfinished))
	}
	if want := []int{1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestProjectsTakeTurns(t *testing.T) {
	t.Parallel()
	const flood, workers = 50, 2
	h := newHouse(t)
	h.start(options{workers: workers})
	busy, modest := h.session(h.project("busy"), "custom"), h.session(h.project("modest"), "custom")
	for range flood {
		h.request(busy, h.message(busy, "busy"))
	}
	h.request(modest, h.message(modest, "modest"))
	h.until("all runs are in the queue", func() bool {
		jobs := h.jobs()
		return jobs["execute_run available"]+jobs["execute_run running"] == flood+1
	})
	for range flood + 1 {
		q := h.model.next(t)
		q.say("x")
		q.end()
	}
	h.history.await("session-"+busy, "run.completed", flood)
	h.history.await("session-"+modest, "run.completed", 1)
	// Those that the workers had, the one that was raised, and one more if the next
	// was raised just then. The queue tells the order: a run that is started later
	// may well ask its model sooner.
	if before, most := h.startedBefore(modest), workers+2; before > most {
		t.Errorf("%d runs started before the other project's, want at most %d", before, most)
	}
}

func TestWaitingRunsShow(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	n := h.start(options{workers: 1})
	session := h.session(h.project("p"), "custom")
	for range 3 {
		h.request(session, h.message(session, "hello"))
	}
	waiting := func(queued float64) func() bool {
		return func() bool {
			return n.metric("g4fagent_runs_waiting", "queued") == queued && n.metric("g4fagent_runs_waiting", "retrying") == 0
		}
	}
	h.until("two runs wait for the one that runs", waiting(2))
	for range 3 {
		q := h.model.next(t)
		q.say("x")
		q.end()
	}
	h.until("none waits", waiting(0))
	n.stop()
	if m := n.metric("g4fagent_runs_waiting", "queued"); m != -1 {
		t.Errorf("a node that does not lead tells of %v waiting runs", m)
	}
}

func TestLostQueuesAreRecovered(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first := h.start(options{})
	project := h.project("p")
	session := h.session(project, "custom")
	h.request(session, h.message(session, "answered"))
	q := h.model.next(t)
	q.say("x")
	q.end()
	h.history.await("session-"+session, "run.completed", 1)
	h.idle()
	first.stop()

	run := h.request(session, h.message(session, "open"))
	h.append("project-"+project, 1, added(project, "sess_1"))
	h.append("reservation-email-h1", eventlog.NoStream, reserved("user_1", "h1"))
	h.append("reservation-email-h2", eventlog.NoStream, reserved("user_2", "h2"))
	h.append("user-user_2", eventlog.NoStream, reserved("user_2", "h2").User, eventschema.UserDeleted{UserID: "user_2", EmailHash: "h2"})
	h.append("user-user_3", eventlog.NoStream, eventschema.UserCreated{UserID: "user_3", Name: "Grace", Roles: []string{"admin"}})
	gone := h.project("gone")
	h.session(gone, "custom")
	empty := h.project("empty")
	for _, p := range []string{gone, empty} {
		if _, err := h.handlers.DeleteProject(h.by(), commands.DeleteProject{ProjectID: p}); err != nil {
			t.Fatal(err)
		}
	}
	h.exec(`drop schema river cascade`)

	n := h.node(options{})
	recovered, err := n.Recover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"execute_run": 1, "start_journal": 1, "start_user": 1, "release_email": 1, "count_admin": 1, "close_sessions": 1}
	if !maps.Equal(recovered.Jobs, want) {
		t.Errorf("recovered %v, want %v", recovered.Jobs, want)
	}
	head, err := h.log.Head(t.Context())
	if err != nil || recovered.Position != head || h.checkpoint("runs") != head {
		t.Errorf("recovered up to %s, the log ends at %s, %v", recovered.Position, head, err)
	}
	again, err := n.Recover(t.Context())
	if err != nil || len(again.Jobs) != 0 {
		t.Errorf("recovered again: %v, %v", again.Jobs, err)
	}

	n.run()
	q = h.model.next(t)
	q.say("y")
	q.end()
	h.history.await("session-"+session, "run.completed", 2)
	h.mustAnswerOnce(session, run, "y")
	h.idle()
	h.history.mustBe("session-sess_1", "session.created")
	h.history.mustBe("user-user_1", "user.created")
	h.history.mustBe("reservation-email-h2", "reservation.email_taken", "reservation.email_released")
	h.history.mustBe("installation", "installation.admin_added")
	done, err := n.Recover(t.Context())
	if err != nil || len(done.Jobs) != 0 {
		t.Errorf("nothing was left, and recovered: %v, %v", done.Jobs, err)
	}
}
