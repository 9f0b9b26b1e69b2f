package live_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
	"github.com/g4fagent/g4fagent/readapi/live"
)

// vault opens nothing until it is told to: its keys are away.
type vault struct {
	eventschematest.Sealer

	gate chan struct{}
}

func (v vault) Open(sealed string) ([]byte, error) {
	<-v.gate
	return v.Sealer.Open(sealed)
}

// Whoever watches the log behind the hub must not wait for a key, a client or a
// disk.
func TestWatchNeverBlocks(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	v := vault{gate: make(chan struct{})}
	hub := hubOn(b, v, many)
	var clients []*client
	for range 20 {
		c := follow(t.Context(), live.Stream{Hub: hub, User: "user_a"})
		c.until(t, "the stream has begun", func() bool { return c.text() != "" })
		clients = append(clients, c)
	}
	clients[3].stall(true)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for i := range 2000 {
			b.append(journal, message(strconv.Itoa(i)))
			b.append("user-user_a", eventschema.UserDisabled{UserID: "user_a"})
		}
	}()
	select {
	case <-watched:
	case <-time.After(patience):
		t.Fatal("the hub waited for a key")
	}
	close(v.gate)
	for i, c := range clients {
		if i != 3 {
			c.has(t, 1999)
		}
	}
}

// Streams that come and go, on journals that come and go with them, while both
// are written to.
func TestStreamsComeAndGo(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	hub := hubOn(b, eventschematest.Sealer{}, many)
	var all sync.WaitGroup
	done := make(chan struct{})
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				b.append(fmt.Sprint("session-", i%3), message("x"))
				if i%100 == 0 {
					b.append("login-f", eventschema.LoggedOut{Family: "f", UserID: "u"})
				}
			}
		}
	})
	var readers sync.WaitGroup
	for i := range 8 {
		readers.Go(func() {
			for n := range int64(20) {
				c := follow(t.Context(), live.Stream{Hub: hub, User: "u", Journal: fmt.Sprint("session-", (int64(i)+n)%3), From: n * 5})
				c.has(t, n*5+20)
				c.leave()
				if err := c.over(t); err != nil {
					t.Error(err)
				}
				ids := c.ids(t)
				for k, id := range ids {
					if id != n*5+int64(k) {
						t.Errorf("event %d stands at place %d from %d", id, k, n*5)
						return
					}
				}
			}
		})
	}
	readers.Wait()
	close(done)
	all.Wait()
	if n := live.Kept(hub); n != 0 {
		t.Errorf("the hub keeps %d things", n)
	}
}
