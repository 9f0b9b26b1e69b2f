package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/failpoint"
)

// posted is what one writer knows of its messages.
type posted struct {
	mu      sync.Mutex
	acked   map[string]string // from the idempotency key to the message's id
	unknown map[string]bool   // keys whose answer never came
}

func (p *posted) note(key, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id == "" {
		p.unknown[key] = true
		return
	}
	delete(p.unknown, key)
	p.acked[key] = id
}

// post posts a message and remembers what came of it.
func (p *posted) post(ctx context.Context, c *client, session, key string) {
	a, err := c.do(ctx, "POST", "/sessions/"+session+"/messages", key, text(key))
	if err != nil || a.status >= http.StatusInternalServerError {
		p.note(key, "")
		return
	}
	var m struct {
		MessageID string `json:"message_id"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &m) != nil {
		c.server.t.Errorf("%s: %d %s", key, a.status, a.body)
		return
	}
	p.note(key, m.MessageID)
}

// What was acknowledged is there, once, whenever the server was killed; what was
// not is there once after it was tried again under the same key.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	c := s.login()
	session := c.session(c.project())
	p := &posted{acked: map[string]string{}, unknown: map[string]bool{}}
	const rounds, writers = 5, 8
	for round := range rounds {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					p.post(ctx, c, session, fmt.Sprintf("r%d-w%d-%d", round, w, i))
				}
			})
		}
		<-time.After(time.Duration(200+rand.IntN(400)) * time.Millisecond)
		s.kill()
		stop()
		wg.Wait()
		s.start()
		c = s.login()
	}
	for key := range p.unknown {
		p.post(t.Context(), c, session, key)
	}
	if len(p.unknown) > 0 || len(p.acked) < rounds {
		t.Fatalf("%d keys without an answer, %d with", len(p.unknown), len(p.acked))
	}
	p.verify(t, c, session)
	if code := s.stop(); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
	s.fsck()
}

// verify compares what was acknowledged with the list, the other way round too.
func (p *posted) verify(t *testing.T, c *client, session string) {
	t.Helper()
	type message struct {
		ID      string
		Content []struct{ Text string }
	}
	seen := map[string]string{}
	for _, m := range all[message](c, "/sessions/"+session+"/messages") {
		key := m.Content[0].Text
		if seen[key] != "" {
			t.Errorf("%s was posted twice", key)
		}
		seen[key] = m.ID
	}
	for key, id := range p.acked {
		if seen[key] != id {
			t.Errorf("%s was acknowledged as %s and is %q", key, id, seen[key])
		}
	}
	if len(seen) != len(p.acked) {
		t.Errorf("%d messages, %d acknowledged", len(seen), len(p.acked))
	}
}

// A crash at the worst places of a command loses nothing and does nothing twice.
func TestKilledAtTheWorstPlaces(t *testing.T) {
	t.Parallel()
	for _, place := range []string{failpoint.Decided, failpoint.Appended} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.start()
			session := func() string { c := s.login(); return c.session(c.project()) }()
			s.kill()
			// The first hits are the start's and the login's own commands.
			s.start("G4FAGENT_FAILPOINT=" + place + ":5")
			c := s.login()
			p := &posted{acked: map[string]string{}, unknown: map[string]bool{}}
			for i := range 20 {
				p.post(t.Context(), c, session, fmt.Sprintf("m%d", i))
			}
			s.died()
			if len(p.unknown) == 0 {
				t.Fatal("the server was never killed")
			}
			s.start()
			c = s.login()
			for key := range p.unknown {
				p.post(t.Context(), c, session, key)
			}
			p.verify(t, c, session)
			s.stop()
			s.fsck()
		})
	}
}

func TestTwoServersOnOneFolder(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	second := &server{t: t, dir: s.dir}
	second.begin()
	select {
	case <-second.done:
	case <-time.After(30 * time.Second):
		second.kill()
		t.Fatal("a second server runs on the same folder")
	}
	if code := second.cmd.ProcessState.ExitCode(); code != 1 {
		t.Fatalf("exit code %d:\n%s", code, second.out)
	}
	const inUse = "in use by a running process; stop that one first, or name another folder with --data-dir"
	if said := second.out.String(); !strings.Contains(said, s.dir) || !strings.Contains(said, inUse) {
		t.Errorf("the second server says:\n%s", said)
	}
	if code, _, said := program(t, nil, "fsck", "--data-dir", s.dir); code != 1 || !strings.Contains(said, s.dir) || !strings.Contains(said, inUse) {
		t.Errorf("fsck beside the server: exit code %d\n%s", code, said)
	}
	s.login() // the first one goes on
}
