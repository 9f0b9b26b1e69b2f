package user_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/g4fagent/g4fagent/domain/user"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/spec"
)

type event = eventschema.UserEvent

var (
	given    = spec.Given[user.State, event]
	created  = eventschema.UserCreated{UserID: "u", Name: "Ana", Email: "ana@example.com", EmailHash: "h", Roles: []string{"viewer"}, Verifier: "v"}
	disabled = eventschema.UserDisabled{UserID: "u"}
	deleted  = eventschema.UserDeleted{UserID: "u", EmailHash: "h"}
)

func update(c user.Change, match *int64) func(user.State) ([]event, error) {
	c.UserID = "u"
	return func(s user.State) ([]event, error) { return s.Update(c, match) }
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	t.Run("records each kind of change by its own name", func(t *testing.T) {
		t.Parallel()
		given(t, created).When(update(user.Change{Name: new("Ana I."), Roles: new([]string{"viewer"}), Verifier: new("w"), Disabled: new(true)}, nil)).Then(
			eventschema.UserUpdated{UserID: "u", Name: new("Ana I.")},
			eventschema.UserPasswordChanged{UserID: "u", Verifier: "w"},
			disabled,
		)
	})
	t.Run("records nothing when nothing differs", func(t *testing.T) {
		t.Parallel()
		given(t, created).When(update(user.Change{Name: new("Ana"), Disabled: new(false)}, nil)).ThenNothing()
		given(t, created, disabled).When(update(user.Change{Disabled: new(true)}, nil)).ThenNothing()
	})
	t.Run("enables who was disabled", func(t *testing.T) {
		t.Parallel()
		given(t, created, disabled).When(update(user.Change{Disabled: new(false)}, nil)).Then(eventschema.UserEnabled{UserID: "u"})
	})
	t.Run("is refused when the user changed since it was seen", func(t *testing.T) {
		t.Parallel()
		given(t, created, disabled).When(update(user.Change{Name: new("x")}, new(int64(0)))).ThenError(user.ErrPrecondition)
	})
	t.Run("finds nobody who never was or was deleted", func(t *testing.T) {
		t.Parallel()
		given(t).When(update(user.Change{Name: new("x")}, nil)).ThenError(user.ErrNotFound)
		given(t, created, deleted).When(update(user.Change{Name: new("x")}, nil)).ThenError(user.ErrNotFound)
	})
}

func TestDelete(t *testing.T) {
	t.Parallel()
	del := func(s user.State) ([]event, error) { return s.Delete("u", nil) }
	given(t, created).When(del).Then(deleted)
	given(t, created, deleted).When(del).ThenError(user.ErrNotFound)
}

func TestKeys(t *testing.T) {
	t.Parallel()
	account := eventschema.UserCreated{UserID: "u", Name: "key", Roles: []string{"developer"}}
	issued := func(verifier string) eventschema.UserAPIKeyIssued {
		return eventschema.UserAPIKeyIssued{UserID: "u", KeyID: "k", Verifier: verifier}
	}
	revoked := eventschema.UserAPIKeyRevoked{UserID: "u", KeyID: "k"}
	replace := func(verifier string) func(user.State) ([]event, error) {
		return func(s user.State) ([]event, error) { return s.ReplaceKey(account, "k", verifier), nil }
	}
	given(t).When(replace("")).ThenNothing()
	given(t).When(replace("kv")).Then(account, issued("kv"))
	given(t, account).When(replace("kv")).Then(issued("kv"))
	given(t, account, issued("kv")).When(replace("kv")).ThenNothing()
	given(t, account, issued("kv")).When(replace("other")).Then(revoked, issued("other"))
	given(t, account, issued("kv")).When(replace("")).Then(revoked)
	given(t, account, issued("kv"), revoked).When(replace("")).ThenNothing()
	for _, verifier := range []string{"kv", "other", ""} {
		given(t, account, issued("kv"), deleted).When(replace(verifier)).ThenNothing()
	}
}

// States are shared between commands: folding further from one must not change
// what another sees.
func TestFoldingLeavesTheOldStateAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := user.State{}.Evolve(created, 0).Evolve(eventschema.UserAPIKeyIssued{UserID: "u", KeyID: "k", Verifier: "v"}, 1)
		key := rapid.SampledFrom([]string{"k", "l"}).Draw(rt, "key")
		s.Evolve(eventschema.UserAPIKeyRevoked{UserID: "u", KeyID: key}, 2)
		s.Evolve(eventschema.UserAPIKeyIssued{UserID: "u", KeyID: key, Verifier: "w"}, 2)
		if len(s.Keys) != 1 || s.Keys["k"] != "v" {
			rt.Fatalf("keys = %v", s.Keys)
		}
	})
}

// Whatever an update asks for, asking again changes nothing.
func TestTwiceIsOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		c := user.Change{}
		if rapid.Bool().Draw(rt, "rename") {
			c.Name = new(rapid.StringMatching(`[a-z]{1,3}`).Draw(rt, "name"))
		}
		if rapid.Bool().Draw(rt, "disable") {
			c.Disabled = new(rapid.Bool().Draw(rt, "disabled"))
		}
		given(t, created).When(update(c, nil)).ThenNothingMoreAfterwards()
	})
}
