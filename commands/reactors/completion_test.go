package reactors_test

import (
	"strings"
	"testing"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// added is a session that its project has decided on.
func added(project, session string) eventschema.ProjectSessionAdded {
	return eventschema.ProjectSessionAdded{ProjectID: project, Session: eventschema.SessionCreated{
		SessionID: session, ProjectID: project, Title: "s", Status: "active", ProviderID: "custom", ModelID: "m",
		Config: []byte(`{}`), Memory: []byte(`{"secret":1}`), Tags: []string{},
	}}
}

// reserved is an address that was taken for a user.
func reserved(user, hash string) eventschema.EmailReserved {
	return eventschema.EmailReserved{User: eventschema.UserCreated{
		UserID: user, Name: "Ada", Email: "ada@example.org", EmailHash: hash, Roles: []string{"viewer"},
	}}
}

func TestASessionGetsItsJournal(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(options{})
	project := h.project("p")
	h.append("project-"+project, 0, added(project, "sess_1"))
	r := h.history.await("session-sess_1", "session.created", 1)
	if created := read[eventschema.SessionCreated](t, r); string(created.Memory) != `{"secret":1}` || created.Title != "s" {
		t.Errorf("the journal begins with %+v", created)
	}
	if r.Meta.ActorKind != "system" || r.Meta.ActorUserID != "system" {
		t.Errorf("it was begun by %s %s", r.Meta.ActorKind, r.Meta.ActorUserID)
	}
	if decided := h.history.await("project-"+project, "project.session_added", 1); !r.Meta.At.Equal(decided.Meta.At) {
		t.Errorf("it began at %s, decided at %s", r.Meta.At, decided.Meta.At)
	}
	h.repeat("start_journal")
	h.history.mustBe("session-sess_1", "session.created")
}

func TestAnAddressIsItsUsers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(options{})
	h.append("reservation-email-h1", eventlog.NoStream, reserved("user_1", "h1"))
	began := h.history.await("user-user_1", "user.created", 1)
	if created := read[eventschema.UserCreated](t, began); created.Email != "ada@example.org" {
		t.Errorf("the user begins as %+v", created)
	}
	if taken := h.history.await("reservation-email-h1", "reservation.email_taken", 1); !began.Meta.At.Equal(taken.Meta.At) {
		t.Errorf("the user began at %s, the address was taken at %s", began.Meta.At, taken.Meta.At)
	}
	h.append("user-user_1", 0, eventschema.UserDeleted{UserID: "user_1", EmailHash: "h1"})
	h.history.await("reservation-email-h1", "reservation.email_released", 1)
	// A late release must not take the address from whoever has it by then.
	h.append("reservation-email-h1", 1, reserved("user_2", "h1"))
	h.history.await("user-user_2", "user.created", 1)
	h.repeat("start_user")
	h.repeat("release_email")
	h.history.mustBe("user-user_1", "user.created", "user.deleted")
	h.history.mustBe("user-user_2", "user.created")
	h.history.mustBe("reservation-email-h1", "reservation.email_taken", "reservation.email_released", "reservation.email_taken")
}

// Whoever can administer is counted, although the process ended between the two
// appends; and whoever is not removed after all counts again.
func TestAdministratorsAreCounted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	admin := func(user string) eventschema.UserCreated {
		return eventschema.UserCreated{UserID: user, Name: user, Roles: []string{"admin"}}
	}
	h.append("user-user_1", eventlog.NoStream, admin("user_1"))
	h.append("user-user_2", eventlog.NoStream, admin("user_2"))
	h.start(options{})
	h.history.await("installation", "installation.admin_added", 2)
	h.append("user-user_1", 0, eventschema.UserDisabled{UserID: "user_1"})
	removed := read[eventschema.AdminRemoved](t, h.history.await("installation", "installation.admin_removed", 1))
	if removed.UserID != "user_1" || removed.UserRevision != 1 {
		t.Errorf("removed: %+v", removed)
	}
	h.append("user-user_1", 1, eventschema.UserEnabled{UserID: "user_1"})
	last := h.history.await("installation", "installation.admin_added", 3)
	// What this removal was for never happened.
	h.append("installation", last.Revision, eventschema.AdminRemoved{UserID: "user_2", UserRevision: 0})
	h.until("the second look is planned", func() bool { return h.jobs()["recount_admin scheduled"] == 2 })
	h.exec(`update river.river_job set scheduled_at = now() where kind = 'recount_admin'`)
	again := read[eventschema.AdminAdded](t, h.history.await("installation", "installation.admin_added", 4))
	if again.UserID != "user_2" {
		t.Errorf("counted again: %+v", again)
	}
}

// repeat does all jobs of a kind once more.
func (h *house) repeat(kind string) {
	h.t.Helper()
	h.idle()
	tag, err := h.db.Pool().Exec(h.t.Context(), `
		update river.river_job set state = 'available', finalized_at = null, scheduled_at = now() where kind = $1`, kind)
	if err != nil || tag.RowsAffected() == 0 {
		h.t.Fatalf("repeat %s: %s, %v", kind, tag, err)
	}
	h.idle()
}

func TestADeletedProjectIsClosed(t *testing.T) {
	t.Parallel()
	const sessions = 200
	h := newHouse(t)
	project := h.project("p")
	ids := make([]string, sessions)
	for i := range ids {
		ids[i] = h.session(project, "custom")
	}
	run := h.request(ids[7], h.message(ids[7], "why?"))
	// One more was decided on, and its journal not begun, when the project ended.
	h.append("project-"+project, sessions, added(project, "sess_late"))
	if _, err := h.handlers.DeleteProject(h.by(), commands.DeleteProject{ProjectID: project}); err != nil {
		t.Fatal(err)
	}
	h.start(options{})
	for _, id := range append(ids, "sess_late") {
		h.history.await("session-"+id, "session.closed", 1)
	}
	h.idle()
	if canceled := read[eventschema.RunCanceled](t, h.history.await("session-"+ids[7], "run.canceled", 1)); canceled.RunID != run {
		t.Errorf("canceled %s, want %s", canceled.RunID, run)
	}
	h.history.mustBe("session-sess_late", "session.created", "session.closed")
	h.model.mustNotBeAsked(t)

	h.repeat("close_sessions")
	h.history.mustBe("session-"+ids[0], "session.created", "session.closed")
}

func TestAJobFailsForAsLongAsItTakes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	n := h.start(options{})
	insert := func(attempt int) (id int64) {
		err := h.db.Pool().QueryRow(t.Context(), `
			insert into river.river_job (kind, queue, args, attempt, max_attempts, state)
			values ('start_journal', 'completions', '{"stream": "project-none", "revision": 7}', $1, 25, 'available') returning id`, attempt).Scan(&id)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	row := func(id int64) (state string, attempt, failures int) {
		err := h.db.Pool().QueryRow(t.Context(), `
			select state::text, attempt, coalesce(array_length(errors, 1), 0) from river.river_job where id = $1`, id).Scan(&state, &attempt, &failures)
		if err != nil {
			t.Fatal(err)
		}
		return state, attempt, failures
	}
	fresh, old := insert(0), insert(24)
	h.until("the new job has failed twice", func() bool {
		_, _, failures := row(fresh)
		return failures >= 2
	})
	h.until("the old job is put off", func() bool {
		state, attempt, failures := row(old)
		return state == "scheduled" && attempt == 24 && failures == 0
	})
	if said := n.said.String(); !strings.Contains(said, "the log has no event project-none@7") {
		t.Error("the failure was not logged with its cause")
	}
}

func TestAPanicIsAFailure(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	handlers := h.handlers
	h.handlers = nil // whoever uses it panics
	n := h.start(options{})
	h.append("reservation-email-h1", eventlog.NoStream, reserved("user_1", "h1"))
	h.until("the job has failed", func() bool {
		return strings.Contains(n.said.String(), "job panicked")
	})
	n.stop()
	h.handlers = handlers
	h.start(options{})
	h.history.await("user-user_1", "user.created", 1)
	h.until("the job is done", func() bool { return h.jobs()["start_user completed"] == 1 })
}
