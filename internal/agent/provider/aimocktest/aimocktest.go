// Package aimocktest runs @copilotkit/aimock, a mock of model providers that was
// not written here, as a process of its own for tests. It speaks OpenAI's dialect
// at URL/v1, Anthropic's at URL, OpenRouter's at URL/api/v1 and Ollama's own at
// URL/api. Node and npm must be on the machine; the mock itself is installed at
// the first use, and a machine that cannot is a failed test, never a skipped one.
package aimocktest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options of a mock. The zero value answers everything with DefaultReply, at once.
type Options struct {
	// Answers are tried in order.
	Answers []Answer
	// Reply, ChunkSize, ChunkDelay and FirstDelay make the answer to everything
	// else; see Answer.
	Reply      string
	ChunkSize  int
	ChunkDelay time.Duration
	FirstDelay time.Duration
	// APIKeys, when not empty, are the keys that the mock accepts.
	APIKeys []string
}

// Server is a running mock.
type Server struct {
	// URL has no path and no slash at its end.
	URL string

	otherwise Answer
	cmd       *exec.Cmd
	stdin     io.Closer
	stop      sync.Once
	exited    chan struct{}
	log       *tail
}

const (
	startTimeout   = 30 * time.Second
	stopTimeout    = 5 * time.Second
	controlTimeout = 10 * time.Second
)

// leash makes the mock end when its standard input does: it must not survive a
// test binary that is killed.
const leash = `data:text/javascript,process.stdin.on("end",()=>process.exit(0)).on("error",()=>process.exit(0)).resume()`

// Start runs a mock until the test ends, or Stop.
func Start(t testing.TB, opts Options) *Server {
	t.Helper()
	program, err := script()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		otherwise: Answer{Reply: opts.Reply, ChunkSize: opts.ChunkSize, ChunkDelay: opts.ChunkDelay, FirstDelay: opts.FirstDelay},
		exited:    make(chan struct{}), log: &tail{},
	}
	// It ends by Stop, not with the test's context: tests look at how clients fare then.
	if err := s.start(context.WithoutCancel(t.Context()), program, t.TempDir(), opts); err != nil {
		t.Fatalf("start aimock: %v\n%s", err, s.log)
	}
	t.Cleanup(s.Stop)
	return s
}

func (s *Server) start(ctx context.Context, program, folder string, opts Options) error {
	data, err := encode(opts.Answers, s.otherwise)
	if err != nil {
		return err
	}
	fixtures := filepath.Join(folder, "fixtures.json")
	if err := os.WriteFile(fixtures, data, 0o600); err != nil {
		return err
	}
	s.cmd = exec.CommandContext(ctx, "node", "--import", leash, program, "--port", "0", "--fixtures", fixtures, "--validate-on-load")
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // whatever else is set must not steer the mock
	if len(opts.APIKeys) > 0 {
		s.cmd.Env = append(s.cmd.Env, "AIMOCK_API_KEYS="+strings.Join(opts.APIKeys, ","))
	}
	ready := make(chan string, 1)
	s.cmd.Stdout = &lines{each: func(line string) {
		s.log.add(line)
		if m := listening.FindStringSubmatch(line); m != nil {
			select {
			case ready <- m[1]:
			default:
			}
		}
	}}
	s.cmd.Stderr = &lines{each: s.log.add}
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = s.cmd.Wait() // ProcessState tells how it ended
		close(s.exited)
	}()
	return s.awaitReady(ready)
}

var listening = regexp.MustCompile(`listening on (http://[0-9.:]+)`)

func (s *Server) awaitReady(ready <-chan string) error {
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case s.URL = <-ready:
		return nil
	case <-s.exited:
		return fmt.Errorf("it ended at once: %s", s.cmd.ProcessState)
	case <-timeout.C:
		s.Stop()
		return fmt.Errorf("it was not ready within %s", startTimeout)
	}
}

// Stop ends the mock, as a provider that goes away does: open connections break.
// It may be called more than once.
func (s *Server) Stop() {
	s.stop.Do(func() {
		_ = s.stdin.Close() // it may have ended by itself
		timeout := time.NewTimer(stopTimeout)
		defer timeout.Stop()
		select {
		case <-s.exited:
		case <-timeout.C:
			_ = s.cmd.Process.Kill() // it may have ended just now
			<-s.exited
		}
	})
}

// Script replaces the answers; what is said otherwise stays, and counts of Nth
// begin anew.
func (s *Server) Script(t testing.TB, answers ...Answer) {
	t.Helper()
	data, err := encode(answers, s.otherwise)
	if err != nil {
		t.Fatal(err)
	}
	s.control(t, http.MethodPost, "/reset", nil)
	s.control(t, http.MethodPost, "/fixtures", data)
}

// Request is one that the mock received. It is in the mock's journal once the
// mock has begun to answer it.
type Request struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"` // names in lower case
	// Body is as the mock understood it: for all dialects in OpenAI's shape, with
	// fields of the mock's own added.
	Body json.RawMessage `json:"body"`
}

// Requests are the last 1,000 requests, oldest first, since the start or Script.
func (s *Server) Requests(t testing.TB) []Request {
	t.Helper()
	var requests []Request
	if err := json.Unmarshal(s.control(t, http.MethodGet, "/journal", nil), &requests); err != nil {
		t.Fatalf("read aimock's journal: %v", err)
	}
	return requests
}

// AwaitRequests waits until the mock has received n requests since the start or
// Script, and gives them.
func (s *Server) AwaitRequests(t testing.TB, n int) []Request {
	t.Helper()
	deadline := time.NewTimer(controlTimeout)
	defer deadline.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		requests := s.Requests(t)
		if len(requests) >= n {
			return requests
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("aimock has received %d requests, want %d\n%s", len(requests), n, s.log)
		}
	}
}

// control uses the mock's own API.
func (s *Server) control(t testing.TB, method, path string, body []byte) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.URL+"/__aimock"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("control aimock: %v\n%s", err, s.log)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("control aimock: %s %s: %s %v\n%s", method, path, res.Status, err, answer)
	}
	return answer
}

// lines is a writer that hands on whole lines.
type lines struct {
	each func(string)
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		advance, token, _ := bufio.ScanLines(l.rest, false)
		if advance == 0 {
			return len(p), nil
		}
		l.each(string(token))
		l.rest = l.rest[advance:]
	}
}

// tail keeps the last lines of the mock's log, for the message of a failed test.
type tail struct {
	mu   sync.Mutex
	last []string
}

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, line)
	if len(t.last) > 20 {
		t.last = t.last[1:]
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.last, "\n")
}
