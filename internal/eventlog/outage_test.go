package eventlog_test

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
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// childVariable, when set, makes the test binary an event store for the tests to
// kill: its value is where it listens and the folder of its log.
const childVariable = "EVENTLOG_TEST_CHILD"

func TestMain(m *testing.M) {
	if where := os.Getenv(childVariable); where != "" {
		serveChild(where)
	}
	os.Exit(m.Run())
}

func serveChild(where string) {
	var address, dir string
	if _, err := fmt.Sscan(where, &address, &dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	node, err := esnode.Start(context.Background(), esnode.Options{Dir: filepath.Join(dir, "log"), Listen: address})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready")
	// The parent's end closes the child's input, so that no child outlives it.
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = node.Close(context.Background())
	os.Exit(0)
}

// child is an event store in a process of its own.
type child struct {
	t       *testing.T
	address string
	dir     string
	command *exec.Cmd
}

// newChild starts an event store on a port that stays its own.
func newChild(t *testing.T) *child {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, address: l.Addr().String(), dir: t.TempDir()}
	t.Cleanup(c.kill)
	c.start()
	return c
}

func (c *child) start() {
	c.t.Helper()
	c.command = exec.CommandContext(c.t.Context(), os.Args[0], "-test.run=^$")
	c.command.Env = append(os.Environ(), childVariable+"="+c.address+" "+c.dir)
	c.command.Stderr = os.Stderr
	if _, err := c.command.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	out, err := c.command.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.command.Start(); err != nil {
		c.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		c.t.Fatalf("the child says %q, %v", line, err)
	}
}

// kill kills the process, without a word to whoever is connected.
func (c *child) kill() {
	if c.command == nil || c.command.Process == nil {
		return
	}
	_ = c.command.Process.Kill() // or it has ended
	_ = c.command.Wait()
	c.command = nil
}

// TestKilledAgainAndAgain kills the server's process 20 times under load. Each
// append is acknowledged once, at its revision, or turns out never to have been;
// subscribers go on by themselves without gap or repetition; Up tells the truth;
// everything works soon after the server's return; and nothing piles up.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	const rounds, each = 20, 100
	server := newChild(t)
	// Patience runs out while the server is away: some appends are never made.
	l := newLoad(t, eventlog.Options{Address: server.address, Patience: 20 * time.Millisecond})
	l.start()
	var slowest, blind time.Duration
	most := 0
	for range rounds {
		from := l.acknowledged()
		l.wait("appends go on", patience, func() bool { return l.acknowledged() >= from+each })
		server.kill()
		blind = max(blind, l.wait("Up tells of the outage", truth, func() bool { return !l.log.Up() }))
		most = max(most, l.count())
		if _, err := l.log.Append(t.Context(), "never", eventlog.NoStream, events(1)...); !errors.Is(err, eventlog.ErrUnavailable) || errors.Is(err, eventlog.ErrUnknown) {
			t.Errorf("an append while the server is away fails with %v", err)
		}
		server.start()
		slowest = max(slowest, l.works(recovery))
		if !l.log.Up() {
			t.Error("Up does not tell of the return")
		}
	}
	if limit := 200; most > limit {
		t.Errorf("%d goroutines while the server is away, expected at most %d", most, limit)
	}
	if page, err := l.log.Read(t.Context(), "never", 0, 1); err != nil || len(page) > 0 {
		t.Errorf("what was not appended: %v, %v", page, err)
	}
	l.verify()
	t.Logf("%d events, %d failed appends; slowest recovery %s, latest news of an outage %s, %d goroutines",
		l.acknowledged(), l.failures.Load(), slowest, blind, most)
}

// TestCloseWhileTheServerIsAway leaves calls behind that the client holds.
func TestCloseWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	server := newChild(t)
	l := newLoad(t, eventlog.Options{Address: server.address, Patience: 100 * time.Millisecond})
	server.kill()
	l.wait("Up tells of the outage", truth, func() bool { return !l.log.Up() })
	for range 3 {
		if _, err := l.log.Read(t.Context(), "s", 0, 1); err != eventlog.ErrUnavailable { //nolint:errorlint // no more than that
			t.Errorf("a read fails with %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	since := time.Now()
	if err := l.log.Close(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(since); took > 3*time.Second {
		t.Errorf("Close took %s", took)
	}
	if err := l.log.Ready(t.Context()); err == nil {
		t.Error("a closed log is ready")
	}
	if _, err := l.log.Append(t.Context(), "s", eventlog.NoStream, events(1)...); err != eventlog.ErrUnavailable { //nolint:errorlint // no more than that
		t.Errorf("an append to a closed log fails with %v", err)
	}
}
