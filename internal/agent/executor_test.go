package agent_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/fault"
)

func executor(m *model, o agent.Options) *agent.Executor {
	o.Providers = m
	return agent.New(o)
}

func TestAnAnswerIsRecordedAsItComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJournal("hello")
		m := answering([]step{
			says("one "), later(40*time.Millisecond, "two "), later(40*time.Millisecond, "three "), // within 100 ms: one piece
			later(300*time.Millisecond, strings.Repeat("x", 5000)), // 4 KiB at once: a piece of its own
			says(" tail"), done,
		})
		if err := executor(m, agent.Options{}).Execute(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		j.mustHaveSaid(t, "ask", "output", "output", "complete")
		want := []string{"one two three ", strings.Repeat("x", 5000), " tail"}
		if !reflect.DeepEqual(j.pieces, want) {
			t.Errorf("pieces %.60q, want %.60q", j.pieces, want)
		}
		if j.at[1] != 100*time.Millisecond || j.at[2] != 380*time.Millisecond {
			t.Errorf("recorded at %v, want at 100ms and 380ms", j.at[1:3])
		}
		if j.answer != strings.Join(want, "") {
			t.Errorf("the answer is %.60q", j.answer)
		}
		if in, out := j.usage.InputTokens, j.usage.OutputTokens; in == nil || *in != 7 || out == nil || *out != 3 {
			t.Errorf("usage %+v", j.usage)
		}
	})
}

func TestLongTextIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJournal("hello")
		text := strings.Repeat("aé€𝄞", 20_000) // 200 kB in one chunk
		if err := executor(answering([]step{says(text), done}), agent.Options{}).Execute(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(j.pieces, ""); got != text || j.answer != text {
			t.Error("the pieces are not the answer")
		}
		for i, piece := range j.pieces {
			if len(piece) > agent.MaxPiece || strings.ContainsRune(piece, '\uFFFD') {
				t.Errorf("piece %d has %d bytes, or half a character", i, len(piece))
			}
		}
	})
}

func TestWhatTheLogCannotHoldIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJournal("hello")
		if err := executor(answering([]step{says("a\x00b\xffc"), done}), agent.Options{}).Execute(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		if want := "a\uFFFDb\uFFFDc"; j.answer != want {
			t.Errorf("answer %q, want %q", j.answer, want)
		}
	})
}

func TestAProviderThatFailsIsAskedAgain(t *testing.T) {
	t.Parallel()
	for _, kind := range []provider.Kind{provider.KindServer, provider.KindRateLimited, provider.KindNetwork} {
		t.Run("until it answers, after "+string(kind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j := newJournal("hello")
				failing := []step{fails(kind)}
				m := answering(failing, failing, failing, []step{says("at last"), done})
				if err := executor(m, agent.Options{}).Execute(t.Context(), j); err != nil {
					t.Fatal(err)
				}
				j.mustHaveSaid(t, "ask", "ask", "ask", "ask", "complete")
				if waited := time.Since(j.began); waited < 1500*time.Millisecond {
					t.Errorf("it was asked four times within %s", waited)
				}
			})
		})
	}
	for _, tt := range []struct {
		name   string
		script []step
		want   []string
	}{
		{"until that is in vain", []step{fails(provider.KindServer)}, []string{"ask", "ask", "ask", "ask", "ask", "fail provider_failed"}},
		{"not when it refuses the key", []step{fails(provider.KindAuth)}, []string{"ask", "fail provider_unauthorized"}},
		{"not when it refuses the request", []step{fails(provider.KindInvalid)}, []string{"ask", "fail provider_rejected"}},
		{"not when it knows no such model", []step{fails(provider.KindNotFound)}, []string{"ask", "fail model_not_found"}},
		{"not when it asks for too long a wait", []step{{err: &provider.Error{Kind: provider.KindRateLimited, Message: "m", RetryAfter: time.Hour}}}, []string{"ask", "fail provider_rate_limited"}},
		{"not after its first word, which stays", []step{says("well"), fails(provider.KindNetwork)}, []string{"ask", "output", "fail provider_stream_broken"}},
		{"not when it goes silent in the middle", []step{later(0, "well"), {after: 200 * time.Millisecond, err: &provider.Error{Kind: provider.KindTimeout, Message: "m"}}}, []string{"ask", "output", "fail provider_stream_broken"}},
		{"not when the answer has no end", []step{says("well")}, []string{"ask", "output", "fail provider_stream_broken"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j := newJournal("hello")
				if err := executor(answering(tt.script), agent.Options{}).Execute(t.Context(), j); err != nil {
					t.Fatal(err)
				}
				j.mustHaveSaid(t, tt.want...)
			})
		})
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		script []step
		want   []string
	}{
		{"no text", []step{finishes(provider.FinishToolCalls)}, []string{"ask", "fail empty_answer"}},
		{"withheld", []step{says("so"), finishes(provider.FinishContentFilter)}, []string{"ask", "output", "fail content_filtered"}},
		{"cut for its length is one", []step{says("so"), finishes(provider.FinishLength)}, []string{"ask", "complete"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j := newJournal("hello")
				if err := executor(answering(tt.script), agent.Options{}).Execute(t.Context(), j); err != nil {
					t.Fatal(err)
				}
				j.mustHaveSaid(t, tt.want...)
			})
		})
	}
}

func TestAnswersThatTheLogRefuses(t *testing.T) {
	t.Parallel()
	notStorable := fault.New(fault.Invalid, "invalid_request", "not storable")
	for _, tt := range []struct {
		name    string
		text    string
		refuse  string
		with    error
		options agent.Options
		want    []string
	}{
		{"too large by the bound", strings.Repeat("x", 3000), "", nil, agent.Options{MaxAnswerBytes: 2000}, []string{"ask", "output", "fail answer_too_large"}},
		{"too large for one append", "x", "complete", eventlog.ErrTooLarge, agent.Options{}, []string{"ask", "output", "fail answer_too_large"}},
		{"not storable at its end", "x", "complete", notStorable, agent.Options{}, []string{"ask", "fail answer_not_storable"}},
		{"not storable in the middle", strings.Repeat("x", 5000), "output", notStorable, agent.Options{}, []string{"ask", "fail answer_not_storable"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j := newJournal("hello")
				j.refuse = func(what string) error {
					if what == tt.refuse {
						return tt.with
					}
					return nil
				}
				if err := executor(answering([]step{says(tt.text), done}), tt.options).Execute(t.Context(), j); err != nil {
					t.Fatal(err)
				}
				j.mustHaveSaid(t, tt.want...)
			})
		})
	}
}

func TestAnAttemptEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJournal("hello")
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("the run was canceled")
		time.AfterFunc(time.Second, func() { cancel(why) })
		m := answering([]step{says("so far"), later(time.Minute, "never"), done})
		if err := executor(m, agent.Options{}).Execute(ctx, j); !errors.Is(err, why) {
			t.Errorf("error %v, want %v", err, why)
		}
		j.mustHaveSaid(t, "ask", "output")
		if aborted := (<-m.aborted).Sub(j.began); aborted != time.Second {
			t.Errorf("the request was aborted after %s", aborted)
		}
	})
}

func TestAnAttemptEndsWhenTheJournalRefusesIt(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"ask", "output", "complete"} {
		t.Run("at its "+what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j := newJournal("hello")
				j.refuse = func(w string) error {
					if w == what {
						return errSuperseded
					}
					return nil
				}
				m := answering([]step{says("so far"), later(time.Second, "and on"), done})
				if err := executor(m, agent.Options{}).Execute(t.Context(), j); !errors.Is(err, errSuperseded) {
					t.Errorf("error %v, want %v", err, errSuperseded)
				}
				if slices.ContainsFunc(j.said, func(s string) bool { return strings.HasPrefix(s, "fail") }) {
					t.Errorf("recorded %q", j.said)
				}
			})
		})
	}
}

func TestAnAttemptIsBoundedInTime(t *testing.T) {
	t.Parallel()
	t.Run("while the provider is silent", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			j := newJournal("hello")
			m := answering([]step{later(time.Second, "so far"), later(time.Hour, "never"), done})
			if err := executor(m, agent.Options{RunTimeout: time.Minute}).Execute(t.Context(), j); err != nil {
				t.Fatal(err)
			}
			j.mustHaveSaid(t, "ask", "output", "fail run_timeout")
			if took := time.Since(j.began); took != time.Minute {
				t.Errorf("it took %s", took)
			}
		})
	})
	t.Run("while it waits to ask again", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			j := newJournal("hello")
			m := answering([]step{{err: &provider.Error{Kind: provider.KindRateLimited, Message: "m", RetryAfter: 90 * time.Second}}})
			if err := executor(m, agent.Options{RunTimeout: time.Minute}).Execute(t.Context(), j); err != nil {
				t.Fatal(err)
			}
			j.mustHaveSaid(t, "ask", "fail run_timeout")
		})
	})
}

func TestARunIsNotBegunForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJournal("hello")
		j.attempt = 4
		if err := executor(answering([]step{done}), agent.Options{MaxAttempts: 3}).Execute(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		j.mustHaveSaid(t, "fail too_many_attempts")
	})
}

// unreachable is Providers that give no client.
type unreachable struct{ err error }

func (u unreachable) Client(context.Context, string) (provider.Client, error) { return nil, u.err }

func TestProvidersThatGiveNoClient(t *testing.T) {
	t.Parallel()
	outage := errors.New("the settings cannot be read")
	for _, tt := range []struct {
		name string
		err  error
		want error
		said []string
	}{
		{"unknown", agent.ErrProviderNotFound, nil, []string{"fail provider_not_found"}},
		{"switched off", agent.ErrProviderDisabled, nil, []string{"fail provider_disabled"}},
		{"wrongly set up", &provider.Error{Kind: provider.KindInvalid, Message: "base_url is not a URL"}, nil, []string{"fail provider_rejected"}},
		{"out of reach for now", outage, outage, nil},
		{"log away", eventlog.ErrUnavailable, eventlog.ErrUnavailable, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal("hello")
			err := agent.New(agent.Options{Providers: unreachable{tt.err}}).Execute(t.Context(), j)
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			j.mustHaveSaid(t, tt.said...)
		})
	}
}
