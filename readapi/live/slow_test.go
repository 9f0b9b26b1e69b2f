package live_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/readapi/live"
)

func TestASilentStreamSaysThatItLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t)
		hubOn(b, eventschematest.Sealer{}, many)
		slow := func(context.Context) error {
			<-time.After(2 * time.Second) // the check's own bound, by the bubble's clock
			return nil
		}
		c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u", Check: slow})
		synctest.Wait()
		comments := func() int { return strings.Count(c.text(), ": keep-alive\n\n") }
		for range 20 {
			before := comments()
			<-time.After(15 * time.Second)
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
