package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
)

// away is how long what the server depends on stays away.
const away = 30 * time.Second

// insist posts each of its own messages until it is acknowledged, always under the same
// key, and calls answered with each answer.
func (p *posted) insist(ctx context.Context, c *client, session, writer string, answered func(answer)) {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for i := 0; ctx.Err() == nil; {
		key := fmt.Sprintf("%s-%d", writer, i)
		a, err := c.do(ctx, "POST", "/sessions/"+session+"/messages", key, text(key))
		var m struct {
			MessageID string `json:"message_id"`
		}
		switch {
		case err != nil:
			p.note(key, "")
		case a.status == http.StatusOK && json.Unmarshal(a.body, &m) == nil:
			p.note(key, m.MessageID)
			i++
			answered(a)
			continue
		default:
			p.note(key, "")
			answered(a)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

// hammer has eight writers at work until the returned function ends them. Every
// answer must be a success, or say that the server cannot for now.
func (p *posted) hammer(t *testing.T, c *client, session string) (end func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			p.insist(ctx, c, session, "w"+strconv.Itoa(w), func(a answer) {
				if a.status == http.StatusOK {
					return
				}
				if !a.isForNow() {
					t.Errorf("an outage is answered by %d %s (Retry-After %q)", a.status, a.body, a.header.Get("Retry-After"))
				}
			})
		})
	}
	return func() {
		stop()
		writers.Wait()
	}
}

// isForNow reports whether the answer says that the server cannot for now.
func (a answer) isForNow() bool {
	var e struct {
		Error struct{ Retryable bool }
	}
	return a.status == http.StatusServiceUnavailable && a.code() == "unavailable" && a.header.Get("Retry-After") != "" &&
		json.Unmarshal(a.body, &e) == nil && e.Error.Retryable
}

// refusedForNow reads what the server cannot show for now.
func (c *client) refusedForNow(path string) {
	t := c.server.t
	t.Helper()
	if a, err := c.do(t.Context(), "GET", path, "", nil); err != nil || !a.isForNow() {
		t.Errorf("GET %s: %d %s (Retry-After %q), %v", path, a.status, a.body, a.header.Get("Retry-After"), err)
	}
}

// settle posts what was never acknowledged once more, and compares.
func (p *posted) settle(t *testing.T, c *client, session string) {
	t.Helper()
	for key := range p.unknown {
		p.post(t.Context(), c, session, key)
	}
	p.verify(t, c, session)
}

// outlived waits until everything goes on, which what was away is back for, ends
// the writers, and compares; the server is stopped then.
func (p *posted) outlived(t *testing.T, c *client, session, check string, end func()) {
	t.Helper()
	s := c.server
	began, before := time.Now(), p.count()
	eventually(t, "commands are taken again", func() bool { return p.count() > before })
	eventually(t, "the server is ready again", func() bool { return s.beside("/readyz") == http.StatusOK && c.check(check) == "" })
	t.Logf("everything is well %s after %s is back", time.Since(began).Round(time.Millisecond), check)
	end()
	p.settle(t, c, session)
	if code := s.stop(); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
	s.fsck()
}

func (p *posted) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acked)
}

// eventually polls for what only asking can tell.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	late := time.After(startIn)
	for !holds() {
		select {
		case <-poll.C:
		case <-late:
			t.Fatalf("%s: not within %s", what, startIn)
		}
	}
}

// beside asks for what stands beside the API.
func (s *server) beside(path string) int {
	res, err := http.Get(strings.TrimSuffix(s.url, "/api/v1") + path)
	if err != nil {
		return 0
	}
	_ = res.Body.Close() // the status is all
	return res.StatusCode
}

// check is what /health says of one thing, empty when it is well.
func (c *client) check(name string) string {
	var health struct {
		OK     bool
		Checks map[string]struct {
			OK      bool
			Message string
		}
	}
	c.must("GET", "/health", "", nil, &health)
	if check := health.Checks[name]; !check.OK {
		return "not ok: " + check.Message
	}
	return ""
}

// While the event store is away the server says so and loses nothing; when it is
// back everything goes on by itself.
func TestTheEventStoreIsAway(t *testing.T) {
	t.Parallel()
	log := &store{t: t, dir: t.TempDir()}
	log.start()
	t.Cleanup(log.kill)
	s := newServer(t)
	s.env = []string{"EVENTSTORE_URL=" + log.url}
	s.start()
	c := s.login()
	session := c.session(c.project())
	p := &posted{acked: map[string]string{}, unknown: map[string]bool{}}
	end := p.hammer(t, c, session)
	eventually(t, "messages are posted", func() bool { return p.count() > 20 })

	log.kill()
	back := time.After(away)
	eventually(t, "health tells", func() bool { return c.check("event_log") != "" })
	if ready, live := s.beside("/readyz"), s.beside("/livez"); ready != http.StatusServiceUnavailable || live != http.StatusOK {
		t.Errorf("while the log is away: readyz %d, livez %d", ready, live)
	}
	eventually(t, "nobody is let in on what may have changed", func() bool {
		a, err := c.do(t.Context(), "GET", "/projects", "", nil)
		return err == nil && a.status == http.StatusServiceUnavailable && a.code() == "unavailable"
	})
	<-back
	log.start()
	p.outlived(t, c, session, "event_log", end)
}

// While Postgres is away commands are durable all the same; when it is back the
// read models catch up.
func TestPostgresIsAway(t *testing.T) {
	t.Parallel()
	database, err := url.Parse(postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(database.Query().Get("host"), ".s.PGSQL.5432")
	way := newRelay(t, func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "unix", socket) })
	s := newServer(t)
	s.env = []string{"DATABASE_URL=postgres://g4fagent@" + way.address + database.Path + "?sslmode=disable"}
	s.start()
	c, stranger := s.login(), s.login() // whom the server has not seen act before
	project := c.project()
	session := c.session(project)
	p := &posted{acked: map[string]string{}, unknown: map[string]bool{}}
	end := p.hammer(t, c, session)
	eventually(t, "messages are posted", func() bool { return p.count() > 20 })

	way.set(true)
	back := time.After(away)
	eventually(t, "health tells", func() bool { return c.check("postgres") != "" })
	if ready, live := s.beside("/readyz"), s.beside("/livez"); ready != http.StatusServiceUnavailable || live != http.StatusOK {
		t.Errorf("while Postgres is away: readyz %d, livez %d", ready, live)
	}
	for _, path := range []string{"/projects", "/projects/" + project, "/projects/" + project + "/sessions", "/sessions/" + session, "/sessions/" + session + "/messages", "/settings/audit"} {
		c.refusedForNow(path)
		stranger.refusedForNow(path)
	}
	if a, err := c.do(t.Context(), "POST", "/projects", "", map[string]any{"name": "later"}); err != nil || !a.isForNow() {
		t.Errorf("POST /projects: %d %s, %v", a.status, a.body, err)
	}
	<-back
	way.set(false)
	p.outlived(t, c, session, "postgres", end)
}

// A managed Postgres that is killed is started again.
func TestTheManagedPostgresIsKilled(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	c := s.login()
	session := c.session(c.project())
	p := &posted{acked: map[string]string{}, unknown: map[string]bool{}}
	end := p.hammer(t, c, session)
	for range 3 {
		before := p.count()
		eventually(t, "messages are posted", func() bool { return p.count() > before+20 })
		pid := s.postmaster()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "another Postgres runs", func() bool {
			next, err := s.readPostmaster()
			return err == nil && next != pid && c.check("postgres") == ""
		})
	}
	p.outlived(t, c, session, "postgres", end)
}

func (s *server) postmaster() int {
	s.t.Helper()
	pid, err := s.readPostmaster()
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

func (s *server) readPostmaster() (int, error) {
	content, err := os.ReadFile(filepath.Join(s.dir, "postgres", "cluster", "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	line, _, found := strings.Cut(string(content), "\n")
	if !found {
		return 0, errors.New("postmaster.pid is not written yet")
	}
	return strconv.Atoi(line)
}

// On a disk that is as good as full nothing is taken and everything is shown.
func TestTheDiskIsFull(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	c := s.login()
	session := c.session(c.project())
	p := &posted{acked: map[string]string{}, unknown: map[string]bool{}}
	p.post(t.Context(), c, session, "before")
	s.stop()

	s.start("G4FAGENT_MIN_FREE_SPACE=1000000GiB")
	a, err := c.do(t.Context(), "POST", "/sessions/"+session+"/messages", "full", text("full"))
	if err != nil || a.status != http.StatusServiceUnavailable || a.code() != "storage_full" {
		t.Errorf("a full disk is answered by %d %s, %v", a.status, a.body, err)
	}
	p.verify(t, c, session)
	if said := c.check("disk"); !strings.Contains(said, "full") {
		t.Errorf("health says of the disk: %q", said)
	}
	if ready := s.beside("/readyz"); ready != http.StatusOK {
		t.Errorf("readyz %d: reads go on", ready)
	}
	s.stop()

	s.start()
	p.post(t.Context(), c, session, "full")
	p.verify(t, c, session)
	s.stop()
	s.fsck()
}
