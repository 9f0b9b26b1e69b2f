package live_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/readapi/live"
)

// errGo refuses whoever may not follow any more.
var errGo = fault.New(fault.Unauthorized, "unauthorized", "Log in again.")

func TestAStreamSaysWhyItEnds(t *testing.T) {
	t.Parallel()
	t.Run("shutdown", func(t *testing.T) {
		t.Parallel()
		b := newBook(t)
		hubOn(b, eventschematest.Sealer{}, many)
		stopping, stop := context.WithCancel(t.Context())
		b.write(journal, message("x"))
		c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u", Stopping: stopping})
		c.has(t, 0)
		stop()
		if err := c.over(t); err != nil || c.end(t) != "shutdown" {
			t.Errorf("ended with %q, %v", c.end(t), err)
		}
	})
	t.Run("the session is closed", func(t *testing.T) {
		t.Parallel()
		for _, run := range []string{"", "run_1"} {
			b := newBook(t)
			hubOn(b, eventschematest.Sealer{}, many)
			b.write(journal, message("x"), output("run_1", "a"))
			c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u", RunID: run})
			c.has(t, 1)
			b.append(journal, eventschema.SessionClosed{SessionID: "s", ProjectID: "p"})
			if err := c.over(t); err != nil || c.end(t) != "finished" {
				t.Errorf("ended with %q, %v", c.end(t), err)
			}
		}
	})
	t.Run("the log is away", func(t *testing.T) {
		t.Parallel()
		b := newBook(t)
		hubOn(b, eventschematest.Sealer{}, many)
		b.err = eventlog.ErrUnavailable
		c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u"})
		if err := c.over(t); !errors.Is(err, eventlog.ErrUnavailable) || c.end(t) != "error" {
			t.Errorf("ended with %q, %v", c.end(t), err)
		}
	})
	t.Run("an event cannot be shown", func(t *testing.T) {
		t.Parallel()
		for _, told := range []bool{false, true} { // as history, or live
			b := newBook(t)
			hubOn(b, eventschematest.Sealer{}, many)
			b.write(journal, message("x"))
			c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u"})
			if told {
				c.has(t, 0)
			}
			records := b.write(journal, message("y"), message("z"), message("never shown"))
			b.mu.Lock()
			b.records[journal][2].Stored.Data = []byte(`{"what":`)
			records[2].Stored.Data = []byte(`{"what":`)
			b.mu.Unlock()
			broken := b.records[journal][1:]
			for _, r := range broken {
				b.hub.Watch(r)
			}
			err := c.over(t)
			if err == nil || !strings.Contains(err.Error(), "at 2") || c.end(t) != "error" {
				t.Errorf("ended with %q, %v", c.end(t), err)
			}
			if got := c.ids(t); !slices.Equal(got, []int64{0, 1}) {
				t.Errorf("the client has %v", got)
			}
			late := follow(t.Context(), live.Stream{Hub: b.hub, User: "u"})
			if err := late.over(t); err == nil {
				t.Error("a later stream skipped it")
			}
			past := follow(t.Context(), live.Stream{Hub: b.hub, User: "u", From: 3})
			past.has(t, 3)
		}
	})
	t.Run("the log does not have what the feed told of", func(t *testing.T) {
		t.Parallel()
		b := newBook(t)
		hubOn(b, eventschematest.Sealer{}, many)
		c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u"})
		c.until(t, "the stream has begun", func() bool { return c.text() != "" })
		b.append(journal, message("x"))
		c.has(t, 0)
		lost := b.records[journal][0]
		lost.Revision = 7
		b.hub.Watch(lost)
		if err := c.over(t); err == nil || c.end(t) != "error" {
			t.Errorf("ended with %q, %v", c.end(t), err)
		}
	})
}

func TestAccessIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	// as is a context of a login.
	as := func(ctx context.Context, family string) context.Context {
		return identity.WithPrincipal(ctx, identity.Principal{UserID: "user_a", LoginFamily: family})
	}
	user := eventschema.UserDisabled{UserID: "user_a"}
	loggedOut := eventschema.LoggedOut{Family: "f1", UserID: "user_a"}

	t.Run("when something happens to the user or the login, and to nobody else", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBook(t)
			hubOn(b, eventschematest.Sealer{}, many)
			var asked [3]atomic.Int64
			var clients [3]*client
			for i, of := range []struct{ user, login string }{{"user_a", "f1"}, {"user_a", "f2"}, {"user_b", "f3"}} {
				clients[i] = follow(as(t.Context(), of.login), live.Stream{Hub: b.hub, User: of.user, Check: func(context.Context) error {
					asked[i].Add(1)
					return nil
				}})
			}
			synctest.Wait()
			expect := func(what string, want [3]int64) {
				t.Helper()
				synctest.Wait()
				for i := range asked {
					if got := asked[i].Swap(0); got != want[i] {
						t.Errorf("%s: stream %d looked %d times, want %d", what, i, got, want[i])
					}
				}
			}
			b.append(journal, message("x"))
			expect("a message", [3]int64{})
			b.append("user-user_a", user)
			expect("the user", [3]int64{1, 1, 0})
			b.append("login-f1", loggedOut)
			expect("one login", [3]int64{1, 0, 0})
			b.append("project-p", eventschema.ProjectDeleted{ProjectID: "p"})
			expect("a project", [3]int64{})
			<-time.After(61 * time.Second) // of the bubble's own clock
			expect("a minute", [3]int64{1, 1, 1})
			for _, c := range clients {
				c.leave()
			}
		})
	})
	t.Run("and ends the stream before anything that follows is told", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			for range 30 { // what is first is a matter of luck, if it matters
				b := newBook(t)
				hubOn(b, eventschematest.Sealer{}, many)
				var refuse atomic.Bool
				c := follow(as(t.Context(), "f1"), live.Stream{Hub: b.hub, User: "user_a", Check: func(context.Context) error {
					if refuse.Load() {
						return errGo
					}
					return nil
				}})
				synctest.Wait()
				c.stall(true)
				b.append(journal, message("x"))
				synctest.Wait() // in the middle of a write
				refuse.Store(true)
				b.append("user-user_a", user)
				b.append(journal, message("confidential"))
				c.stall(false)
				if err := c.over(t); err != nil || c.end(t) != "revoked" || strings.Contains(c.text(), "confidential") {
					t.Fatalf("ended with %q, %v, after %v", c.end(t), err, c.ids(t))
				}
			}
		})
	})
	t.Run("an answer that nobody can give is no refusal", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBook(t)
			hubOn(b, eventschematest.Sealer{}, many)
			away := fault.New(fault.Unavailable, "unavailable", "Later.")
			c := follow(as(t.Context(), "f1"), live.Stream{Hub: b.hub, User: "user_a", Check: func(context.Context) error { return away }})
			synctest.Wait()
			b.append("login-f1", loggedOut)
			if err := c.over(t); !errors.Is(err, away) || c.end(t) != "error" {
				t.Errorf("ended with %q, %v", c.end(t), err)
			}
		})
	})
}

// However much a journal grows, access, the server's end and the client's have
// their turn.
func TestABusyStreamListens(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(b *book, c *client, stop func(), refuse *atomic.Bool){
		"to the server's end": func(_ *book, _ *client, stop func(), _ *atomic.Bool) { stop() },
		"to a refusal": func(b *book, _ *client, _ func(), refuse *atomic.Bool) {
			refuse.Store(true)
			b.append("user-user_a", eventschema.UserDisabled{UserID: "user_a"})
		},
		"to its client": func(_ *book, c *client, _ func(), _ *atomic.Bool) { c.cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBook(t)
			hubOn(b, eventschematest.Sealer{}, many)
			stopping, stop := context.WithCancel(t.Context())
			defer stop()
			var refuse atomic.Bool
			c := follow(t.Context(), live.Stream{Hub: b.hub, User: "user_a", Stopping: stopping, Check: func(context.Context) error {
				if refuse.Load() {
					return errGo
				}
				return nil
			}})
			done := make(chan struct{})
			var writing sync.WaitGroup
			writing.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-done:
						return
					default:
						b.append(journal, output("run_1", "x"))
					}
				}
			})
			defer writing.Wait()
			defer close(done)
			c.has(t, 300)
			end(b, c, stop, &refuse)
			if err := c.over(t); err != nil {
				t.Error(err)
			}
		})
	}
}
