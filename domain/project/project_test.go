package project_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/g4fagent/g4fagent/domain/project"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/spec"
)

type event = eventschema.ProjectEvent

var (
	given   = spec.Given[project.State, event]
	created = eventschema.ProjectCreated{
		ProjectID: "p", Name: "Shop", Description: "d", Status: "active", Environment: "dev", Repo: json.RawMessage(`{"a":1}`),
	}
	deleted = eventschema.ProjectDeleted{ProjectID: "p"}
)

func added(id string) eventschema.ProjectSessionAdded {
	return eventschema.ProjectSessionAdded{ProjectID: "p", Session: eventschema.SessionCreated{
		SessionID: id, ProjectID: "p", Config: json.RawMessage(`{}`), Memory: json.RawMessage(`{}`),
	}}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	update := func(e eventschema.ProjectUpdated, match *int64) func(project.State) ([]event, error) {
		e.ProjectID = "p"
		return func(s project.State) ([]event, error) { return s.Update(e, match) }
	}
	t.Run("records only what differs", func(t *testing.T) {
		t.Parallel()
		given(t, created).When(update(eventschema.ProjectUpdated{Name: new("Shop"), Status: new("archived")}, nil)).
			Then(eventschema.ProjectUpdated{ProjectID: "p", Status: new("archived")})
	})
	t.Run("records nothing when nothing differs", func(t *testing.T) {
		t.Parallel()
		given(t, created).When(update(eventschema.ProjectUpdated{Name: new("Shop"), Repo: json.RawMessage(`{"a":1}`)}, nil)).ThenNothing()
	})
	t.Run("is refused when the project changed since it was seen", func(t *testing.T) {
		t.Parallel()
		given(t, created, eventschema.ProjectUpdated{ProjectID: "p", Name: new("x")}).
			When(update(eventschema.ProjectUpdated{Name: new("y")}, new(int64(0)))).ThenError(project.ErrPrecondition)
	})
	t.Run("is not disturbed by sessions added meanwhile", func(t *testing.T) {
		t.Parallel()
		given(t, created, added("s")).When(update(eventschema.ProjectUpdated{Name: new("y")}, new(int64(0)))).
			Then(eventschema.ProjectUpdated{ProjectID: "p", Name: new("y")})
	})
	t.Run("finds no project that never was or was deleted", func(t *testing.T) {
		t.Parallel()
		given(t).When(update(eventschema.ProjectUpdated{}, nil)).ThenError(project.ErrNotFound)
		given(t, created, deleted).When(update(eventschema.ProjectUpdated{Name: new("y")}, nil)).ThenError(project.ErrNotFound)
	})
}

func TestCreate(t *testing.T) {
	t.Parallel()
	create := func(full bool) func(project.State) ([]event, error) {
		return func(s project.State) ([]event, error) { return s.Create(created, full) }
	}
	given(t).When(create(false)).Then(created)
	given(t).When(create(true)).ThenError(project.ErrTooMany)
	given(t, created).When(create(true)).ThenNothing()
}

func TestDelete(t *testing.T) {
	t.Parallel()
	del := func(s project.State) ([]event, error) { return s.Delete(deleted, nil) }
	given(t, created, added("s")).When(del).Then(deleted)
	given(t, created, deleted).When(del).ThenError(project.ErrNotFound)
	given(t).When(del).ThenError(project.ErrNotFound)
}

func TestAddSession(t *testing.T) {
	t.Parallel()
	add := func(s project.State) ([]event, error) { return s.AddSession(added("s3"), 2) }
	given(t, created, added("s1")).When(add).Then(added("s3"))
	given(t, created, added("s1"), added("s2")).When(add).ThenError(project.ErrLimit)
	given(t, created, deleted).When(add).ThenError(project.ErrNotFound)
}

func TestSessionsSurviveASnapshot(t *testing.T) {
	t.Parallel()
	var s project.State
	for i, e := range []event{created, added("s1"), added("s2")} {
		s = s.Evolve(e, int64(i))
	}
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back project.State
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	back = back.Evolve(added("s3"), 3)
	if d := cmp.Diff([]string{"s1", "s2", "s3"}, back.Sessions.IDs()); d != "" || back.Name != "Shop" {
		t.Fatal(d, back)
	}
}

// Any command taken twice changes nothing the second time, whatever came before.
func TestTwiceIsOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		past := []event{created}
		for range rapid.IntRange(0, 8).Draw(rt, "events") {
			past = append(past, rapid.SampledFrom([]event{
				eventschema.ProjectUpdated{ProjectID: "p", Name: new(rapid.StringMatching(`[a-z]{0,3}`).Draw(rt, "name"))}, added("s"), deleted,
			}).Draw(rt, "event"))
		}
		name := rapid.StringMatching(`[a-z]{0,3}`).Draw(rt, "new name")
		given(t, past...).When(func(s project.State) ([]event, error) {
			return s.Update(eventschema.ProjectUpdated{ProjectID: "p", Name: &name}, nil)
		}).ThenNothingMoreAfterwards()
		given(t, past...).When(func(s project.State) ([]event, error) { return s.Delete(deleted, nil) }).ThenNothingMoreAfterwards()
		given(t, past...).When(func(s project.State) ([]event, error) { return s.Create(created, false) }).ThenNothingMoreAfterwards()
	})
}
