package login_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/g4fagent/g4fagent/domain/login"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/spec"
)

type event = eventschema.LoginEvent

var (
	given   = spec.Given[login.State, event]
	start   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	started = eventschema.LoginSucceeded{Family: "f", UserID: "u", Method: "password", RefreshVerifier: "one", RefreshExpires: start.Add(24 * time.Hour)}
	reused  = eventschema.TokenReuseDetected{Family: "f", UserID: "u"}
)

func rotated(from, to string, after time.Duration) eventschema.TokenRefreshed {
	return eventschema.TokenRefreshed{
		Family: "f", UserID: "u", RefreshVerifier: to, RefreshExpires: start.Add(48 * time.Hour), Replaces: from, At: start.Add(after),
	}
}

func refresh(shown, next string, after time.Duration) func(login.State) ([]event, error) {
	return func(s login.State) ([]event, error) {
		e := rotated("", next, after)
		e.UserID = ""
		return s.Refresh(shown, e)
	}
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	t.Run("rotates the token in force", func(t *testing.T) {
		t.Parallel()
		given(t, started).When(refresh("one", "two", time.Minute)).Then(rotated("one", "two", time.Minute))
	})
	t.Run("accepts a spent token once more within 30 s", func(t *testing.T) {
		t.Parallel()
		given(t, started, rotated("one", "two", time.Minute)).When(refresh("one", "three", time.Minute+30*time.Second)).
			Then(rotated("one", "three", time.Minute+30*time.Second))
	})
	t.Run("ends the family when a spent token comes late", func(t *testing.T) {
		t.Parallel()
		given(t, started, rotated("one", "two", time.Minute)).When(refresh("one", "three", time.Minute+31*time.Second)).Then(reused)
	})
	t.Run("ends the family when a spent token comes a third time", func(t *testing.T) {
		t.Parallel()
		given(t, started, rotated("one", "two", 0), rotated("one", "three", time.Second)).When(refresh("one", "four", 2*time.Second)).Then(reused)
	})
	t.Run("ends the family when the successor was used already", func(t *testing.T) {
		t.Parallel()
		given(t, started, rotated("one", "two", 0), rotated("two", "three", time.Second)).When(refresh("one", "four", 2*time.Second)).Then(reused)
	})
	t.Run("ends the family when the lost successor is shown", func(t *testing.T) {
		t.Parallel()
		given(t, started, rotated("one", "two", 0), rotated("one", "three", time.Second)).When(refresh("two", "four", 2*time.Second)).Then(reused)
	})
	t.Run("is refused once expired, logged out, ended or unknown", func(t *testing.T) {
		t.Parallel()
		given(t, started).When(refresh("one", "two", 24*time.Hour)).ThenError(login.ErrInvalidRefreshToken)
		given(t, started, eventschema.LoggedOut{Family: "f", UserID: "u"}).When(refresh("one", "two", 0)).ThenError(login.ErrInvalidRefreshToken)
		given(t, started, reused).When(refresh("one", "two", 0)).ThenError(login.ErrInvalidRefreshToken)
		given(t).When(refresh("one", "two", 0)).ThenError(login.ErrInvalidRefreshToken)
	})
}

func TestLogOutHappensOnce(t *testing.T) {
	t.Parallel()
	out := func(s login.State) ([]event, error) { return s.LogOut("f") }
	given(t, started).When(out).Then(eventschema.LoggedOut{Family: "f", UserID: "u"})
	given(t, started, eventschema.LoggedOut{Family: "f", UserID: "u"}).When(out).ThenNothing()
	given(t).When(out).ThenNothing()
}

// At any time at most one token rotates as "the one in force", and a family that
// ended never comes back.
func TestAnEndedFamilyStaysEnded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := login.State{}.Evolve(started, 0)
		at, ended := time.Duration(0), false
		tokens := []string{"one"}
		for i := range rapid.IntRange(1, 12).Draw(rt, "steps") {
			at += time.Duration(rapid.IntRange(0, 60).Draw(rt, "pause")) * time.Second
			shown := rapid.SampledFrom(tokens).Draw(rt, "token")
			next := string(rune('a' + i))
			events, err := refresh(shown, next, at)(s)
			if err != nil {
				continue
			}
			if ended && len(events) > 0 {
				rt.Fatalf("%v after the end", events)
			}
			for _, e := range events {
				s = s.Evolve(e, int64(i))
				if _, reuse := e.(eventschema.TokenReuseDetected); reuse {
					ended = true
				} else {
					tokens = append(tokens, next)
				}
			}
		}
	})
}
