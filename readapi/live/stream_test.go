package live_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
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

// upTo are the numbers from one to before another.
func upTo(from, to int64) []int64 {
	ids := make([]int64, 0, max(to-from, 0))
	for id := from; id < to; id++ {
		ids = append(ids, id)
	}
	return ids
}

// Whenever a stream begins, and whoever writes meanwhile: the client gets every
// event once, in order.
func TestHistoryAndWhatFollowsAreOneStream(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	const writers, each, streams = 8, 60, 12
	const total = writers * each
	var clients [streams]*client
	var written atomic.Int64
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				n.append(journal, message(fmt.Sprint(w, " ", i)))
				written.Add(1)
			}
		})
	}
	for i := range clients {
		for written.Load() < int64(i*total/streams/2) { // some begin early, some late
			n.append("other-journal", message("makes the log move"))
		}
		clients[i] = follow(t.Context(), live.Stream{Hub: n.hub, User: "u", From: int64(i * 3)})
	}
	all.Wait()
	for i, c := range clients {
		c.has(t, total-1)
		c.leave()
		if err := c.over(t); err != nil {
			t.Error(err)
		}
		if got := c.ids(t); !slices.Equal(got, upTo(int64(i*3), total)) {
			t.Errorf("stream %d has %v", i, got)
		}
	}
}

func TestAStreamResumesAnywhere(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	const history = 40
	for i := range history {
		n.append(journal, message(strconv.Itoa(i)))
	}
	var clients []*client
	for from := range int64(history + 3) {
		clients = append(clients, follow(t.Context(), live.Stream{Hub: n.hub, User: "u", From: from}))
	}
	for i := range 5 {
		n.append(journal, message(fmt.Sprint("live ", i)))
	}
	for from, c := range clients {
		c.has(t, history+4)
		if got := c.ids(t); !slices.Equal(got, upTo(int64(from), history+5)) {
			t.Errorf("from %d: %v", from, got)
		}
	}
}

func TestAFrame(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	hubOn(b, eventschematest.Sealer{}, many)
	raw := message("")
	raw.Content = []byte(`[{"type":"text","text":"a < b && c > \u2028 d"}]`)
	b.write(journal,
		eventschema.SessionCreated{SessionID: "s", ProjectID: "p", Title: "t", Config: []byte(`{ "a" :
 1}`), Memory: []byte(`{}`), Tags: []string{}},
		raw,
		output("run_1", "to\nken"),
		eventschema.RunStepRequested{SessionID: "s", RunID: "run_1"}, // is not shown
		completed("run_1"),
	)
	c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u"})
	c.has(t, 4)
	if c.code != http.StatusOK || c.header.Get("Content-Type") != "text/event-stream" || c.header.Get("Cache-Control") != "no-cache" || c.header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("headers %d %v", c.code, c.header)
	}
	if !strings.HasPrefix(c.text(), "retry: 2000\n\nid: 0\n") {
		t.Errorf("the stream begins with %q", c.text()[:40])
	}
	frames := c.frames(t)
	if len(frames) != 4 || !slices.Equal(c.ids(t), []int64{0, 1, 2, 4}) {
		t.Fatalf("frames %+v", frames)
	}
	for i, want := range []struct{ event, data string }{
		{"session", `"config":{"a":1}`},
		{"message", `"text":"a < b && c > \u2028 d"`},
		{"token", `"text":"to\nken"`},
		{"status", `"status":"completed"`},
	} {
		f := frames[i]
		if f.event != want.event || !strings.Contains(f.data, want.data) {
			t.Errorf("frame %d is %s %s, want %s with %s", i, f.event, f.data, want.event, want.data)
		}
		if !strings.HasPrefix(f.data, `{"type":"`+want.event+`","ts":"2026-03-01T12:00:00.000000Z","data":{`) {
			t.Errorf("frame %d is %s", i, f.data)
		}
	}
}

func TestAStreamOfARun(t *testing.T) {
	t.Parallel()
	t.Run("leaves out what is not of it, and ends with it", func(t *testing.T) {
		t.Parallel()
		b := newBook(t)
		hubOn(b, eventschematest.Sealer{}, many)
		b.write(journal, message("x"), output("run_1", "a"), output("run_2", "b"))
		c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u", RunID: "run_1"})
		c.has(t, 1)
		b.append(journal, completed("run_2"), output("run_1", "c"), completed("run_1"), output("run_3", "d"))
		if err := c.over(t); err != nil {
			t.Error(err)
		}
		if got := c.ids(t); !slices.Equal(got, []int64{1, 4, 5}) || c.end(t) != "finished" {
			t.Errorf("the client has %v, and ends with %q", got, c.end(t))
		}
	})
	t.Run("moves its client past what it leaves out", func(t *testing.T) {
		t.Parallel()
		b := newBook(t)
		hubOn(b, eventschematest.Sealer{}, many)
		b.write(journal, output("run_1", "a"))
		for range 2500 {
			b.write(journal, output("run_2", "b"))
		}
		c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u", RunID: "run_1"})
		c.has(t, 2000)
		for range 700 { // live, and from the log again: the ring is shorter
			b.append(journal, output("run_2", "b"))
		}
		c.has(t, 3000)
		b.append(journal, output("run_1", "c"))
		c.has(t, 3201)
		var cursors []int64
		for _, f := range c.frames(t) {
			if f.event == "cursor" {
				cursors = append(cursors, f.id)
			}
		}
		if !slices.Equal(cursors, []int64{1000, 2000, 3000}) {
			t.Errorf("cursors at %v", cursors)
		}
		before := b.reads
		again := follow(t.Context(), live.Stream{Hub: b.hub, User: "u", RunID: "run_1", From: 3001})
		again.has(t, 3201)
		if got := again.ids(t); !slices.Equal(got, []int64{3201}) || b.reads-before > 6 {
			t.Errorf("from the cursor: %v after %d reads", got, b.reads-before)
		}
	})
}

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
			time.Sleep(61 * time.Second)
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

func TestASilentStreamSaysThatItLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t)
		hubOn(b, eventschematest.Sealer{}, many)
		slow := func(context.Context) error {
			time.Sleep(2 * time.Second) // the check's own bound
			return nil
		}
		c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u", Check: slow})
		synctest.Wait()
		comments := func() int { return strings.Count(c.text(), ": keep-alive\n\n") }
		for range 20 {
			before := comments()
			time.Sleep(15 * time.Second)
			synctest.Wait()
			if comments() == before {
				t.Fatal("15 s without a word")
			}
		}
		c.leave()
		if err := c.over(t); err != nil {
			t.Error(err)
		}
	})
}

// A client that does not read is just behind: what the ring does not have any
// more, it gets from the log.
func TestASlowClientMissesNothing(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	hubOn(b, eventschematest.Sealer{}, many)
	b.write(journal, message("x"))
	slow := follow(t.Context(), live.Stream{Hub: b.hub, User: "u"})
	fast := follow(t.Context(), live.Stream{Hub: b.hub, User: "u"})
	slow.has(t, 0)
	slow.stall(true)
	const total = 1500
	for i := range int64(total) {
		b.append(journal, message("x"))
		if i%50 == 0 {
			fast.has(t, i+1)
		}
	}
	fast.has(t, total)
	slow.stall(false)
	slow.has(t, total)
	for name, c := range map[string]*client{"slow": slow, "fast": fast} {
		if got := c.ids(t); !slices.Equal(got, upTo(0, total+1)) {
			t.Errorf("the %s client has %v", name, got)
		}
	}
}

// Large events are not kept for streams, which then read them from the log.
func TestLargeEventsAreRead(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	hubOn(b, eventschematest.Sealer{}, many)
	c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u"})
	small, large := stored(t, message("small")), stored(t, message(strings.Repeat("x", 600<<10)))
	for i := range int64(12) {
		next := large
		if i%3 == 0 {
			next = small
		}
		b.hub.Watch(b.put(journal, next))
		if held := live.Held(b.hub, journal); held > 1<<20 {
			t.Errorf("%d bytes are kept", held)
		}
		if i%4 == 3 {
			c.has(t, i)
		}
	}
	c.has(t, 11)
	if got := c.ids(t); !slices.Equal(got, upTo(0, 12)) {
		t.Errorf("the client has %v", got)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t)
		hubOn(b, eventschematest.Sealer{}, live.Limits{PerUser: 2, PerNode: 4})
		open := func(user string) *client { return follow(t.Context(), live.Stream{Hub: b.hub, User: user}) }
		a1, a2, b1 := open("a"), open("a"), open("b")
		synctest.Wait()
		refused := func(c *client) {
			t.Helper()
			if err := c.over(t); !errors.Is(err, live.ErrTooManyStreams) || c.code != 0 || c.text() != "" || len(c.header) != 0 {
				t.Errorf("answer %d %q, error %v", c.code, c.text(), err)
			}
		}
		refused(open("a"))
		c1 := open("c")
		synctest.Wait()
		refused(open("b")) // the node's bound
		for _, c := range []*client{a1, b1, c1} {
			c.leave()
			if err := c.over(t); err != nil {
				t.Error(err)
			}
		}
		again := open("a")
		synctest.Wait()
		if again.code != http.StatusOK {
			t.Error("a place that came free was not given")
		}
		a2.leave()
		again.leave()
	})
}

// Every goroutine, timer and entry of a stream ends with it: the bubble waits for
// all of them.
func TestStreamsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t)
		hubOn(b, eventschematest.Sealer{}, many)
		stopping, stop := context.WithCancel(t.Context())
		var clients []*client
		for i := range 300 {
			clients = append(clients, follow(t.Context(), live.Stream{
				Hub: b.hub, User: fmt.Sprint("u", i%7), Journal: fmt.Sprint("session-", i%11), Stopping: stopping,
			}))
		}
		for i := range 11 {
			b.append(fmt.Sprint("session-", i), message("x"))
		}
		synctest.Wait()
		for i, c := range clients {
			if i%2 == 0 {
				c.leave()
			}
		}
		synctest.Wait()
		stop()
		for _, c := range clients {
			if err := c.over(t); err != nil {
				t.Error(err)
			}
		}
		if n := live.Kept(b.hub); n != 0 {
			t.Errorf("the hub keeps %d things", n)
		}
	})
}

func TestAClientThatStoppedReading(t *testing.T) {
	t.Parallel()
	t.Run("is given up after a while", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBook(t)
			hubOn(b, eventschematest.Sealer{}, many)
			c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u"})
			synctest.Wait()
			c.stall(true)
			start := time.Now()
			b.append(journal, message("x"))
			if err := <-c.ended; err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took != 30*time.Second {
				t.Errorf("given up after %s", took)
			}
		})
	})
	t.Run("does not hold the server up", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBook(t)
			hubOn(b, eventschematest.Sealer{}, many)
			stopping, stop := context.WithCancel(t.Context())
			c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u", Stopping: stopping})
			synctest.Wait()
			c.stall(true)
			b.append(journal, message("x"))
			synctest.Wait()
			start := time.Now()
			stop()
			if err := <-c.ended; err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("ended after %s", took)
			}
		})
	})
	t.Run("or left in the middle of a write is noticed at once", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBook(t)
			hubOn(b, eventschematest.Sealer{}, many)
			c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u"})
			synctest.Wait()
			c.stall(true)
			b.append(journal, message("x"))
			synctest.Wait()
			start := time.Now()
			c.leave()
			if err := <-c.ended; err != nil || time.Since(start) != 0 {
				t.Errorf("ended after %s with %v", time.Since(start), err)
			}
		})
	})
}

// A client must find by GET what it was told of. A thousand streams ask once.
func TestStreamsTellWhatReadModelsShow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t)
		hubOn(b, eventschematest.Sealer{}, many)
		var asked atomic.Int64
		var at atomic.Value
		shown := make(chan struct{})
		settled := func(_ context.Context, p eventlog.Position) {
			asked.Add(1)
			at.Store(p)
			<-shown
		}
		var clients []*client
		for range 50 {
			clients = append(clients, follow(t.Context(), live.Stream{Hub: b.hub, User: "u", Settled: settled}))
		}
		synctest.Wait()
		b.append(journal, output("run_1", "no read model has it"))
		synctest.Wait()
		if asked.Load() != 0 || !slices.Equal(clients[0].ids(t), []int64{0}) {
			t.Errorf("asked %d times for what no read model has", asked.Load())
		}
		b.append(journal, message("x"))
		synctest.Wait()
		if asked.Load() != 1 || at.Load() != (eventlog.Position{Commit: 2, Prepare: 2}) {
			t.Errorf("asked %d times, for %v", asked.Load(), at.Load())
		}
		for _, c := range clients {
			if strings.Contains(c.text(), "id: 1\n") {
				t.Fatal("a client was told before the read models show it")
			}
		}
		close(shown)
		synctest.Wait()
		for _, c := range clients {
			if !strings.Contains(c.text(), "id: 1\n") {
				t.Fatal("a client was not told")
			}
			c.leave()
		}
	})
}
