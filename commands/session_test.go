package commands_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/domain/project"
	"github.com/g4fagent/g4fagent/domain/session"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/identity"
)

// The process may end between the project's decision and the journal's start.
// Whoever completes it, however often and from wherever, appends one event.
func TestASessionsStartIsCompleted(t *testing.T) {
	t.Parallel()
	t.Run("after a crash", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		project := r.project()
		added := eventschema.ProjectSessionAdded{ProjectID: project, Session: eventschema.SessionCreated{
			SessionID: "sess_1", ProjectID: project, Title: "t", Config: json.RawMessage(`{}`), Memory: json.RawMessage(`{}`),
		}}
		decided := r.clock.Now().Truncate(time.Microsecond)
		r.append("project-"+project, 0, eventlog.Meta{At: decided}, added)
		r.clock.pass(time.Hour)
		server := identity.WithPrincipal(t.Context(), identity.Server())
		first := must(r.StartJournal(server, added, decided))(t)
		again := must(rigOn(t, r.log).StartJournal(server, added, decided))(t)
		if began := r.records("session-sess_1")[0].Meta.At; !began.Equal(decided) {
			t.Errorf("the session began at %s, which was decided at %s", began, decided)
		}
		if first.Position != again.Position || again.Revision != 0 {
			t.Errorf("completed as %+v, then as %+v", first, again)
		}
		if names := r.names("session-sess_1"); !slices.Equal(names, []string{"session.created"}) {
			t.Errorf("the journal holds %q", names)
		}
	})
	t.Run("by two at the same time", func(t *testing.T) {
		t.Parallel()
		a := newRig(t)
		b := rigOn(t, a.log)
		project := a.project()
		added := eventschema.ProjectSessionAdded{ProjectID: project, Session: eventschema.SessionCreated{SessionID: "sess_1", ProjectID: project}}
		together(8, func(i int) {
			if _, err := []*rig{a, b}[i%2].StartJournal(a.someone(), added, a.clock.Now()); err != nil {
				t.Error(err)
			}
		})
		if names := a.names("session-sess_1"); !slices.Equal(names, []string{"session.created"}) {
			t.Errorf("the journal holds %q", names)
		}
	})
	t.Run("by the client that asks again", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		project := r.project()
		ctx := r.by(request{key: "k"})
		whole := must(r.CreateSession(ctx, newSession(project)))(t)
		id := written[eventschema.SessionCreated](t, whole).SessionID

		// The same log, cut off before the journal began.
		cut := newRig(t)
		for _, record := range r.records("project-" + project) {
			stored := eventlog.Event{ID: record.ID, Stored: record.Stored, Meta: record.Meta}
			if _, err := cut.log.Append(t.Context(), record.Stream, record.Revision-1, stored); err != nil {
				t.Fatal(err)
			}
		}
		cut.clock.pass(time.Hour)
		again := must(cut.CreateSession(cut.by(request{key: "k"}), newSession(project)))(t)
		if !again.Replayed || written[eventschema.SessionCreated](t, again).SessionID != id {
			t.Errorf("answer %+v", again)
		}
		if began := cut.records("session-" + id)[0].Meta.At; !again.At.Equal(whole.At) || !began.Equal(whole.At) {
			t.Errorf("created at %s, then at %s, and the journal begins at %s", whole.At, again.At, began)
		}
		if got, want := cut.records("session-" + id)[0].ID, r.records("session-" + id)[0].ID; got != want {
			t.Errorf("the journal begins with %s, elsewhere with %s", got, want)
		}
	})
	t.Run("at a time of its own in an older log", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		project := r.project()
		ctx := r.by(request{key: "k"})
		whole := must(r.CreateSession(ctx, newSession(project)))(t)
		session := "session-" + written[eventschema.SessionCreated](t, whole).SessionID

		older := newRig(t)
		began := whole.At.Add(time.Millisecond)
		for _, record := range slices.Concat(r.records("project-"+project), r.records(session)) {
			if record.Stream == session {
				record.Meta.At = began
			}
			stored := eventlog.Event{ID: record.ID, Stored: record.Stored, Meta: record.Meta}
			if _, err := older.log.Append(t.Context(), record.Stream, record.Revision-1, stored); err != nil {
				t.Fatal(err)
			}
		}
		if again := must(older.CreateSession(ctx, newSession(project)))(t); !again.Replayed || !again.At.Equal(began) {
			t.Errorf("the answer says %s, the read models %s", again.At, began)
		}
	})
}

func TestBelowADeletedProjectNothingIsFound(t *testing.T) {
	t.Parallel()
	a := newRig(t)
	b := rigOn(t, a.log)
	project := a.project()
	id := a.session(project)
	run := a.run(id)
	b.message(id, "b knows the project, and that it exists")
	must(a.DeleteProject(a.someone(), commands.DeleteProject{ProjectID: project}))(t)

	nothing := func(t *testing.T, node *rig) {
		t.Helper()
		_, err := node.PostMessage(node.someone(), newMessage(id, "x"))
		refused(t, err, session.ErrNotFound)
		_, err = node.UpdateSession(node.someone(), commands.UpdateSession{SessionID: id, Title: new("x")})
		refused(t, err, session.ErrNotFound)
		_, err = node.StartRun(node.someone(), newRun(id, "msg_1"))
		refused(t, err, session.ErrNotFound)
		_, err = node.CancelRun(node.someone(), run)
		refused(t, err, session.ErrRunNotFound)
		refused(t, node.Exists(node.someone(), map[string]string{"session_id": id}), session.ErrNotFound)
		refused(t, node.Exists(node.someone(), map[string]string{"run_id": run}), session.ErrRunNotFound)
		_, err = node.Execute(t.Context(), node.requested(id, run), "n")
		refused(t, err, commands.ErrSuperseded)
	}
	t.Run("on the node that deleted it", func(t *testing.T) { nothing(t, a) })
	t.Run("on one whose feed has told", func(t *testing.T) {
		for _, record := range a.records("project-" + project) {
			b.Watch(record)
		}
		nothing(t, b)
	})
	t.Run("on one that reads it first", func(t *testing.T) { nothing(t, rigOn(t, a.log)) })
}

// A node that has not heard of the deletion is refused by the journal, as soon as
// the completion has closed it.
func TestAClosedSessionRefusesWhoeverHasNotHeard(t *testing.T) {
	t.Parallel()
	a := newRig(t)
	deaf := rigOn(t, a.log)
	project := a.project()
	id := a.session(project)
	run := deaf.run(id)
	x := deaf.execute(id, run)
	must(a.DeleteProject(a.someone(), commands.DeleteProject{ProjectID: project}))(t)
	closed := must(a.CloseSession(a.someone(), id))(t)
	if got := closed.Types(); !slices.Equal(got, []string{"run.canceled", "session.closed"}) {
		t.Errorf("closing appended %q", got)
	}
	_, err := deaf.PostMessage(deaf.someone(), newMessage(id, "x"))
	refused(t, err, session.ErrNotFound)
	refused(t, x.Output(t.Context(), "late"), commands.ErrSuperseded)
	if again := must(a.CloseSession(a.someone(), id))(t); len(again.Events) != 0 {
		t.Errorf("closed again: %q", again.Types())
	}
	if names := a.names("session-" + id); names[len(names)-1] != "session.closed" {
		t.Errorf("the journal ends with %q", names)
	}
}

func TestWatchForgetsNothingThatIsNewer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.project()
	must(r.DeleteProject(r.someone(), commands.DeleteProject{ProjectID: id}))(t)
	before := r.sum("g4fagent_state_cache_misses_total")
	for _, record := range r.records("project-" + id) {
		r.Watch(record)
	}
	refused(t, r.Exists(r.someone(), map[string]string{"project_id": id}), project.ErrNotFound)
	if r.sum("g4fagent_state_cache_misses_total") != before {
		t.Error("the node forgot what it had decided itself")
	}
}

func TestAMessageAndARunAreOfTheirSession(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	mine, theirs := r.session(""), r.session("")
	message := r.message(theirs, "x")
	_, err := r.StartRun(r.someone(), newRun(mine, message))
	refused(t, err, session.ErrMessageNotFound)
	for _, input := range []string{`{"message_id":7}`, `[]`, `not json`} {
		c := newRun(mine, "")
		c.Input = json.RawMessage(input)
		_, err = r.StartRun(r.someone(), c)
		refused(t, err, commands.ErrInput)
	}
	for _, id := range []string{"", "run_", "run_1", r.run(mine) + "0", "msg_" + message} {
		_, err = r.CancelRun(r.someone(), id)
		refused(t, err, session.ErrRunNotFound)
	}
}
