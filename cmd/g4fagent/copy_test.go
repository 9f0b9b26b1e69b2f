package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/postgres"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
)

// storeAlone runs `g4fagent eventstore` in a new folder until the test ends.
func storeAlone(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "eventstore", "--data-dir", t.TempDir(), "--listen", address, "--log-level", "error")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(line, "ready") {
		t.Fatalf("the event store says %q, %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return "esdb://" + address + "?tls=false"
}

// lengthen adds so many events to a stopped server's log that its copy takes a
// while. They are of a type that nobody follows.
func (s *server) lengthen(events int) {
	s.t.Helper()
	node, err := esnode.Start(s.t.Context(), esnode.Options{Dir: filepath.Join(s.dir, "log"), Listen: "127.0.0.1:0"})
	if err != nil {
		s.t.Fatal(err)
	}
	config, err := esdb.ParseConnectionString(node.ConnectionString())
	if err != nil {
		s.t.Fatal(err)
	}
	client, err := esdb.NewClient(config)
	if err != nil {
		s.t.Fatal(err)
	}
	for n := 0; n < events; n += 500 {
		batch := make([]esdb.EventData, 500)
		for i := range batch {
			batch[i] = esdb.EventData{EventID: uuid.New(), EventType: "$filler", Data: []byte{byte(i)}}
		}
		if _, err := client.AppendToStream(s.t.Context(), "filler", esdb.AppendToStreamOptions{}, batch...); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := errors.Join(client.Close(), node.Close(s.t.Context())); err != nil {
		s.t.Fatal(err)
	}
}

func copyLog(t *testing.T, from, to string) string {
	t.Helper()
	out, err := exec.Command(binary, "eventstore", "copy", "--from", from, "--to", to).CombinedOutput()
	if err != nil {
		t.Fatalf("copy: %v\n%s", err, out)
	}
	return string(out)
}

// digest is that of a finished copy.
func digest(t *testing.T, out string) string {
	t.Helper()
	_, after, found := strings.Cut(out, "sha256:")
	if !found {
		t.Fatalf("no digest in %s", out)
	}
	return after[:64]
}

// killedCopy kills a copy as soon as it has written a page.
func killedCopy(t *testing.T, from, to string) {
	t.Helper()
	cmd := exec.Command(binary, "eventstore", "copy", "--from", from, "--to", to)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasSuffix(line, " events copied\n") {
		t.Errorf("the copy says %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the copy had ended before it was killed")
	}
}

// seen is what GETs of everything answer.
func (c *client) seen(project, session string) map[string]string {
	c.server.t.Helper()
	views := map[string]string{}
	for _, path := range []string{
		"/admin/users", "/me", "/projects", "/projects/" + project, "/projects/" + project + "/sessions", "/sessions/" + session,
		"/sessions/" + session + "/messages", "/settings", "/providers",
	} {
		a := c.must("GET", path, "", nil, nil)
		views[path] = string(a.body) + a.header.Get("ETag")
	}
	return views
}

// TestAnInstallationMovesToAnotherStoreAndBack follows what the copy's help tells
// operators to do.
func TestAnInstallationMovesToAnotherStoreAndBack(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	c := s.login()
	project := c.project()
	session := c.session(project)
	for i := range 20 {
		c.must("POST", "/sessions/"+session+"/messages", fmt.Sprint("k", i), text(fmt.Sprint("message ", i)), nil)
	}
	before := c.seen(project, session)
	s.stop()
	s.lengthen(6000)

	elsewhere := storeAlone(t)
	killedCopy(t, s.dir, elsewhere)
	there := copyLog(t, s.dir, elsewhere)
	s.env = []string{"EVENTSTORE_URL=" + elsewhere}
	s.refuses("belong to another installation")
	s.forget()
	s.start()
	c = s.login()
	s.wantSeen(c, before, project, session)
	// A command that was given before the move is known, and another goes on.
	c.must("POST", "/sessions/"+session+"/messages", "k3", text("message 3"), nil)
	s.wantSeen(c, before, project, session)
	c.must("POST", "/sessions/"+session+"/messages", "", text("after the move"), nil)
	after := c.seen(project, session)
	s.stop()
	s.fsck()

	if err := os.Rename(filepath.Join(s.dir, "log"), filepath.Join(s.dir, "log.before")); err != nil {
		t.Fatal(err)
	}
	back := copyLog(t, elsewhere, s.dir)
	if digest(t, there) == digest(t, back) {
		t.Error("the digest does not tell of what happened in between")
	}
	s.env = nil
	s.refuses("belong to another installation")
	s.forget()
	s.start()
	s.wantSeen(s.login(), after, project, session)
	s.stop()
	s.fsck()
}

// TestAnInstallationWithADatabaseMoves does so where Postgres stays.
func TestAnInstallationWithADatabaseMoves(t *testing.T) {
	t.Parallel()
	database := postgrestest.URL(t)
	s := newServer(t)
	s.env = []string{"DATABASE_URL=" + database}
	s.start()
	c := s.login()
	project := c.project()
	session := c.session(project)
	c.must("POST", "/sessions/"+session+"/messages", "k", text("before the move"), nil)
	before := c.seen(project, session)
	s.stop()

	elsewhere := storeAlone(t)
	copyLog(t, s.dir, elsewhere)
	s.env = append(s.env, "EVENTSTORE_URL="+elsewhere)
	s.refuses("belong to another installation")
	rebuild := exec.Command(binary, "rebuild", "--data-dir", s.dir)
	rebuild.Env = append(os.Environ(), s.env...)
	if out, err := rebuild.CombinedOutput(); err != nil {
		t.Fatalf("rebuild: %v\n%s", err, out)
	}
	s.refuses("belong to another installation") // the jobs are still the source's
	db, err := postgres.Open(t.Context(), postgres.Options{URL: database})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Pool().Exec(t.Context(), `drop schema river cascade`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	s.start()
	s.wantSeen(s.login(), before, project, session)
	s.stop()
	s.fsck()
}

// forget removes the managed Postgres, once it has ended.
func (s *server) forget() {
	s.t.Helper()
	waitForPostgres(s.dir)
	if err := os.RemoveAll(filepath.Join(s.dir, "postgres")); err != nil {
		s.t.Fatal(err)
	}
}

// wantSeen waits until GETs answer as they did before.
func (s *server) wantSeen(c *client, want map[string]string, project, session string) {
	s.t.Helper()
	deadline := time.Now().Add(startIn)
	for {
		different := ""
		for path, got := range c.seen(project, session) {
			if got != want[path] {
				different = fmt.Sprintf("GET %s answers\n%s\nanswered\n%s", path, got, want[path])
			}
		}
		if different == "" {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatal(different)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func TestCopySaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no ends":         {nil, 2, "--from and --to"},
		"no log":          {[]string{"--from", t.TempDir(), "--to", t.TempDir()}, 1, "no data folder"},
		"no server":       {[]string{"--from", "esdb://127.0.0.1:1?tls=false", "--to", t.TempDir()}, 1, "127.0.0.1:1"},
		"a malformed URL": {[]string{"--from", "esdb://", "--to", t.TempDir()}, 2, "connection string"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(binary, append([]string{"eventstore", "copy"}, c.args...)...)
			out, err := cmd.CombinedOutput()
			if err == nil || cmd.ProcessState.ExitCode() != c.code || !strings.Contains(string(out), c.says) {
				t.Errorf("%v, %s", err, out)
			}
		})
	}
}
