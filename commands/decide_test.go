package commands_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/domain/project"
	"github.com/g4fagent/g4fagent/domain/session"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/identity"
)

func TestEventsSayWhoWhenAndWhy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.session("")
	ctx := r.by(request{user: "user_b", key: "k"})
	receipt := must(r.PostMessage(ctx, newMessage(id, "hello")))(t)

	last := r.records("session-" + id)[receipt.Revision]
	m, req := last.Meta, identity.RequestOf(ctx)
	if m.ActorUserID != "user_b" || m.ActorKind != "user" || m.CredentialID != "login_1" {
		t.Errorf("the actor is %q, %q, %q", m.ActorUserID, m.ActorKind, m.CredentialID)
	}
	if m.RequestID != req.ID || m.IP != "192.0.2.7" || m.CorrelationID != req.ID || m.CausationID != "" {
		t.Errorf("the request is %+v", m)
	}
	if want := r.clock.Now().UTC().Truncate(time.Microsecond); !m.At.Equal(want) || m.At.Location() != time.UTC || m.At.Nanosecond()%1000 != 0 {
		t.Errorf("the time is %s, want %s", m.At, want)
	}
	if m.ProjectID != decoded[eventschema.MessagePosted](t, last).ProjectID || m.ProjectID == "" {
		t.Errorf("the project is %q", m.ProjectID)
	}
	if m.IdempotencyKey == "" || m.IdempotencyKey == "k" || m.InputHash == "" || m.SchemaVersion != 1 {
		t.Errorf("key, input and version are %q, %q, %d", m.IdempotencyKey, m.InputHash, m.SchemaVersion)
	}
	if receipt.Position != last.Position || receipt.Position.IsZero() || !receipt.At.Equal(m.At) {
		t.Errorf("the receipt %+v is not of %+v", receipt, last)
	}
}

func TestConsequencesNameTheirCause(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	project := r.project()
	ctx := r.by(request{})
	id := written[eventschema.SessionCreated](t, must(r.CreateSession(ctx, newSession(project)))(t)).SessionID

	added := r.records("project-" + project)[1]
	created := r.records("session-" + id)[0]
	if created.Meta.CausationID != added.ID.String() || created.Meta.CorrelationID != added.Meta.CorrelationID || created.Meta.RequestID != added.Meta.RequestID {
		t.Errorf("session.created has %+v, which is caused by %s %+v", created.Meta, added.ID, added.Meta)
	}
	t.Run("also when the server acts by itself", func(t *testing.T) {
		t.Parallel()
		orphan := eventlog.Record{ID: added.ID}
		must(r.UpdateSession(commands.Because(t.Context(), orphan), commands.UpdateSession{SessionID: id, Title: new("x")}))(t)
		m := r.records("session-" + id)[1].Meta
		if m.CausationID != added.ID.String() || m.CorrelationID != added.ID.String() {
			t.Errorf("the cause is told as %+v", m)
		}
	})
}

func TestWritersOfOneStreamDoNotConflict(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.session("")
	const writers, each = 16, 10
	together(writers, func(i int) {
		for n := range each {
			if _, err := r.PostMessage(r.someone(), newMessage(id, fmt.Sprintf("%d %d", i, n))); err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		}
	})
	if n := len(r.records("session-" + id)); n != 1+writers*each {
		t.Errorf("the journal has %d events", n)
	}
	if n := r.conflicts(); n != 0 {
		t.Errorf("%v conflicts", n)
	}
}

func TestTwoNodesDecideAgainAfterEachOther(t *testing.T) {
	t.Parallel()
	a := newRig(t)
	b := rigOn(t, a.log)
	id := a.session("")
	const writers, each = 4, 10
	together(2*writers, func(i int) {
		node := []*rig{a, b}[i%2]
		for n := range each {
			if _, err := node.PostMessage(node.someone(), newMessage(id, fmt.Sprintf("%d %d", i, n))); err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		}
	})
	if n := len(a.records("session-" + id)); n != 1+2*writers*each {
		t.Errorf("the journal has %d events", n)
	}
	if a.conflicts()+b.conflicts() == 0 {
		t.Error("the nodes never met")
	}
}

// A limit is where deciding again shows: two nodes that both see room for one more
// must not both take it.
func TestALimitHoldsAcrossNodes(t *testing.T) {
	t.Parallel()
	few := func(o *commands.Options) { o.Limits.MaxSessionsPerProject = 5 }
	a := newRig(t, few)
	b := rigOn(t, a.log, few)
	id := a.project()
	var mu sync.Mutex
	accepted := 0
	together(8, func(i int) {
		node := []*rig{a, b}[i%2]
		_, err := node.CreateSession(node.someone(), newSession(id))
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			accepted++
		} else {
			refused(t, err, project.ErrLimit)
		}
	})
	if names := a.names("project-" + id); accepted != 5 || len(names) != 6 {
		t.Errorf("%d sessions were accepted, the project has %q", accepted, names)
	}
}

func TestNothingIsAnsweredFromAStaleCache(t *testing.T) {
	t.Parallel()
	t.Run("a refusal", func(t *testing.T) {
		t.Parallel()
		a := newRig(t)
		b := rigOn(t, a.log)
		id := a.project()
		rename := commands.UpdateProject{ProjectID: id, Name: new("b")}
		seen := must(b.UpdateProject(b.someone(), rename))(t).Revision // b's cache is warm
		must(a.UpdateProject(a.someone(), commands.UpdateProject{ProjectID: id, Name: new("c")}))(t)
		// To b, the version that a made looks like one that never was.
		match := seen + 1
		if r := must(b.UpdateProject(b.someone(), commands.UpdateProject{ProjectID: id, Name: new("d"), Match: &match}))(t); len(r.Events) != 1 {
			t.Errorf("answer %+v", r)
		}
	})
	t.Run("that nothing differs", func(t *testing.T) {
		t.Parallel()
		a := newRig(t)
		b := rigOn(t, a.log)
		id := a.project()
		rename := commands.UpdateProject{ProjectID: id, Name: new("b")}
		must(b.UpdateProject(b.someone(), rename))(t)
		must(a.UpdateProject(a.someone(), commands.UpdateProject{ProjectID: id, Name: new("c")}))(t)
		if r := must(b.UpdateProject(b.someone(), rename))(t); len(r.Events) != 1 {
			t.Errorf("b believes that the name is b still: %+v", r)
		}
	})
	t.Run("an acceptance", func(t *testing.T) {
		t.Parallel()
		a := newRig(t)
		b := rigOn(t, a.log)
		id := a.project()
		must(b.UpdateProject(b.someone(), commands.UpdateProject{ProjectID: id, Name: new("b")}))(t)
		must(a.DeleteProject(a.someone(), commands.DeleteProject{ProjectID: id}))(t)
		_, err := b.UpdateProject(b.someone(), commands.UpdateProject{ProjectID: id, Name: new("c")})
		refused(t, err, project.ErrNotFound)
		_, err = b.CreateSession(b.someone(), newSession(id))
		refused(t, err, project.ErrNotFound)
	})
	t.Run("what does not exist", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		_, err := r.UpdateProject(r.someone(), commands.UpdateProject{ProjectID: "proj_none", Name: new("x")})
		refused(t, err, project.ErrNotFound)
		_, err = r.PostMessage(r.someone(), newMessage("sess_none", "x"))
		refused(t, err, session.ErrNotFound)
	})
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.session("")
	update := func(title string, match int64) error {
		_, err := r.UpdateSession(r.someone(), commands.UpdateSession{SessionID: id, Title: &title, Match: &match})
		return err
	}
	if err := update("a", 0); err != nil {
		t.Fatal(err)
	}
	refused(t, update("b", 0), session.ErrPrecondition)
	r.message(id, "moves the journal, not the session")
	if err := update("b", 1); err != nil {
		t.Error(err)
	}
	refused(t, update("b", 1), session.ErrPrecondition) // also where nothing would differ
}

func TestAnAnswerWithoutAnAppendSaysWhereTheStreamIs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.project()
	change := commands.UpdateProject{ProjectID: id, Name: new("b")}
	first := must(r.UpdateProject(r.someone(), change))(t)
	again := must(r.UpdateProject(r.someone(), change))(t)
	if len(again.Events) != 0 || again.Revision != first.Revision || again.Position != first.Position || again.Replayed {
		t.Errorf("answer %+v after %+v", again, first)
	}
}

// Commands share what is cached. What one folds further must not show in another;
// the race detector watches.
func TestCommandsFoldFurtherFromOneState(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.session("")
	runs := make([]string, 8)
	for i := range runs {
		runs[i] = r.run(id)
	}
	project := decoded[eventschema.SessionCreated](t, r.records("session-" + id)[0]).ProjectID
	together(len(runs), func(i int) {
		for range 5 {
			r.run(id)
			if _, err := r.CancelRun(r.someone(), runs[i]); err != nil {
				t.Error(err)
			}
			r.session(project)
			if err := r.Exists(r.someone(), map[string]string{"session_id": id, "project_id": project, "run_id": runs[i]}); err != nil {
				t.Error(err)
			}
		}
	})
	cold := rigOn(t, r.log)
	for _, id := range runs {
		if receipt := must(cold.CancelRun(cold.someone(), id))(t); len(receipt.Events) != 0 {
			t.Errorf("%s was open still", id)
		}
	}
}

// The state that commands left in the cache and the one that the log adds up to
// are the same.
func TestTheCacheIsWhatTheLogSays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.project()
	for range 5 {
		must(r.CreateSession(r.someone(), newSession(p)))(t)
	}
	must(r.DeleteProject(r.someone(), commands.DeleteProject{ProjectID: p}))(t)
	cold := rigOn(t, r.log)
	warm, err := r.ProjectSessions(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	read, err := cold.ProjectSessions(t.Context(), p)
	if err != nil || !slices.Equal(warm, read) || len(warm) != 5 {
		t.Errorf("cached %q, read %q, %v", warm, read, err)
	}
}

func TestACommandWhoseClientLeftWhileItWaited(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.session("")
	ctx, leave := context.WithCancel(r.someone())
	leave()
	if _, err := r.PostMessage(ctx, newMessage(id, "x")); err == nil {
		t.Error("a command of nobody was carried out")
	}
	if n := len(r.records("session-" + id)); n != 1 {
		t.Errorf("the journal has %d events", n)
	}
}
