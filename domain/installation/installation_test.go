package installation_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/g4fagent/g4fagent/domain/installation"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/spec"
)

type event = eventschema.InstallationEvent

var (
	given   = spec.Given[installation.State, event]
	created = eventschema.InstallationCreated{InstallationID: "inst"}
)

func added(id string) eventschema.AdminAdded { return eventschema.AdminAdded{UserID: id} }

func TestIsMadeOnce(t *testing.T) {
	t.Parallel()
	create := func(s installation.State) ([]event, error) {
		return s.Create(eventschema.InstallationCreated{InstallationID: "other"})
	}
	given(t).When(create).Then(eventschema.InstallationCreated{InstallationID: "other"})
	given(t, created).When(create).ThenNothing()
}

func TestTheLastAdministratorStays(t *testing.T) {
	t.Parallel()
	remove := func(id string) func(installation.State) ([]event, error) {
		return func(s installation.State) ([]event, error) { return s.RemoveAdmin(id, 7) }
	}
	given(t, created, added("a")).When(remove("a")).ThenError(installation.ErrLastAdmin)
	given(t, created, added("a"), added("b")).When(remove("a")).Then(eventschema.AdminRemoved{UserID: "a", UserRevision: 7})
	given(t, created, added("a"), added("b"), eventschema.AdminRemoved{UserID: "a"}).When(remove("b")).ThenError(installation.ErrLastAdmin)
	given(t, created, added("a")).When(remove("nobody")).ThenNothing()
}

// What was seen before a removal adds nobody again; what came after it does.
func TestARemovalIsNotUndoneByWhatWasSeenBefore(t *testing.T) {
	t.Parallel()
	add := func(seen int64) func(installation.State) ([]event, error) {
		return func(s installation.State) ([]event, error) { return s.AddAdmin("b", seen) }
	}
	removed := []event{created, added("a"), added("b"), eventschema.AdminRemoved{UserID: "b", UserRevision: 4}}
	given(t, removed...).When(add(4)).ThenNothing()
	given(t, removed...).When(add(5)).Then(added("b"))
	given(t, append(removed, added("b"))...).When(add(6)).ThenNothing()
	given(t, append(removed, added("b"), eventschema.AdminRemoved{UserID: "b", UserRevision: 9})...).When(add(6)).ThenNothing()
}

// Once there was an administrator there always is one.
func TestThereIsAlwaysAnAdministrator(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := installation.State{}.Evolve(created, 0).Evolve(added("a"), 1)
		for i := range rapid.IntRange(1, 20).Draw(rt, "moves") {
			id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "user")
			move := s.AddAdmin
			if rapid.Bool().Draw(rt, "remove") {
				move = s.RemoveAdmin
			}
			events, _ := move(id, int64(i)) // a refusal moves nothing
			for _, e := range events {
				s = s.Evolve(e, int64(i+2))
			}
			if len(s.Admins) == 0 {
				rt.Fatal("nobody is left")
			}
		}
	})
}
