package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests of this package run the real program: they start it, kill it, and
// look at what is left.

var binary string

// atATime is how many tests run at a time: most wait for other processes.
const atATime = 4

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(max(atATime, runtime.GOMAXPROCS(0)))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "g4fagent-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// The program's own Postgres runs as another account when the test is root.
	if err := os.Chmod(dir, 0o711); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(dir, "g4fagent")
	out, err := exec.Command("go", "build", "-race", "-tags", "failpoints", "-o", binary, ".").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	if err := endShared(); err != nil {
		fmt.Fprintf(os.Stderr, "--- FAIL: the shared server: %v\n", err)
		return max(code, 1)
	}
	return code
}

const (
	password = "correct-horse-battery"
	email    = "admin@g4fagent.local"
	startIn  = 60 * time.Second
)

// server is one process after another on the same data folder.
type server struct {
	t    testing.TB
	dir  string
	args []string
	env  []string
	cmd  *exec.Cmd
	out  *output
	url  string
	done chan struct{} // closed when the process has ended
}

// output keeps what a process says, for the test that fails.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func newServer(t testing.TB, args ...string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "g4fagent-data") //nolint:usetesting // Postgres's account may not enter a test's own folder
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dir: dir, args: args}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() && s.out != nil {
			t.Logf("the last process said:\n%s", tail(s.out.String(), 60))
		}
		waitForPostgres(dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return s
}

// waitForPostgres gives the killed server's Postgres the time to notice.
func waitForPostgres(dir string) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if _, err := os.Stat(filepath.Join(dir, "postgres", "cluster", "postmaster.pid")); err != nil {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

func tail(s string, lines int) string {
	all := strings.Split(s, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

var apiLine = regexp.MustCompile(`(?m)^\s+API\s+(\S+)$`)

// start starts the program and waits until it is ready.
func (s *server) start(env ...string) {
	s.t.Helper()
	s.begin(env...)
	s.ready()
}

func (s *server) begin(env ...string) {
	s.t.Helper()
	s.out = &output{}
	s.cmd = exec.Command(binary, append([]string{"serve", "--data-dir", s.dir, "--port", "0"}, s.args...)...)
	s.cmd.Env = append(append(os.Environ(), "G4FAGENT_ADMIN_PASSWORD="+password), append(s.env, env...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		defer close(done)
		_ = cmd.Wait() // how it ended is for the test to say
	}(s.cmd, s.done)
}

func (s *server) ready() {
	s.t.Helper()
	deadline := time.Now().Add(startIn)
	for {
		if m := apiLine.FindStringSubmatch(s.out.String()); m != nil {
			s.url = m[1]
			if res, err := http.Get(strings.TrimSuffix(s.url, "/api/v1") + "/readyz"); err == nil {
				_ = res.Body.Close() // the status is all
				if res.StatusCode == http.StatusOK {
					return
				}
			}
		}
		select {
		case <-s.done:
			s.t.Fatalf("the program ended before it was ready:\n%s", tail(s.out.String(), 40))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the program was not ready in %s:\n%s", startIn, tail(s.out.String(), 40))
		}
	}
}

// kill ends the process as a crash does.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGKILL) // it may have ended by itself
	<-s.done
}

// died waits until the process has killed itself.
func (s *server) died() {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(startIn):
		s.t.Fatal("the server has not come to the place where it was to kill itself")
	}
}

// stop ends it in order and returns the exit code.
func (s *server) stop() int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		s.t.Fatal("SIGTERM did not end the server within 20 s")
	}
	return s.cmd.ProcessState.ExitCode()
}

// fsck proves that the read models of the stopped server are what its log says.
func (s *server) fsck() {
	s.t.Helper()
	cmd := exec.Command(binary, "fsck", "--data-dir", s.dir, "--log-level", "error")
	cmd.Env = append(os.Environ(), s.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("fsck: %v\n%s", err, out)
	}
}

// client speaks to the server as one login.
type client struct {
	server *server
	token  string
	// address is where the client says that it is, or empty: servers that trust
	// it as a proxy take each test for another client.
	address string
}

// ask sends a request, and holds it and its answer to the document.
func (c *client) ask(r *http.Request) (*http.Response, error) {
	if c.token != "" && r.Header.Get("Authorization") == "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.address != "" {
		r.Header.Set("X-Forwarded-For", c.address)
	}
	base, err := url.Parse(c.server.url)
	if err != nil {
		return nil, err
	}
	return (&http.Client{Transport: contract{t: c.server.t, base: base.Path}}).Do(r)
}

func (s *server) login() *client {
	s.t.Helper()
	c := &client{server: s}
	var tokens struct {
		AccessToken string `json:"access_token"`
	}
	c.must("POST", "/auth/login", "", map[string]any{"method": "password", "email": email, "password": password}, &tokens)
	c.token = tokens.AccessToken
	return c
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) code() string {
	var e struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(a.body, &e) != nil {
		return ""
	}
	return e.Error.Code
}

// do asks; the error says that no whole answer came.
func (c *client) do(ctx context.Context, method, path, key string, body any) (answer, error) {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.server.url+path, reader)
	if err != nil {
		return answer{}, err
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := c.ask(req)
	if err != nil {
		return answer{}, err
	}
	raw, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, raw}, errors.Join(err, res.Body.Close())
}

// must asks and fails the test unless the answer is a success.
func (c *client) must(method, path, key string, body, into any) answer {
	t := c.server.t
	t.Helper()
	a, err := c.do(context.Background(), method, path, key, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	if into != nil {
		if err := json.Unmarshal(a.body, into); err != nil {
			t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
		}
	}
	return a
}

// all reads every page of a list.
func all[T any](c *client, path string) []T {
	c.server.t.Helper()
	var items []T
	cursor := ""
	for {
		var page struct {
			Items      []T     `json:"items"`
			NextCursor *string `json:"next_cursor"`
		}
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		c.must("GET", path+separator+"limit=200"+cursor, "", nil, &page)
		items = append(items, page.Items...)
		if page.NextCursor == nil {
			return items
		}
		cursor = "&cursor=" + *page.NextCursor
	}
}

func (c *client) project() string {
	var p struct{ Project struct{ ID string } }
	c.must("POST", "/projects", "", map[string]any{"name": "Shop"}, &p)
	return p.Project.ID
}

func (c *client) session(project string) string {
	var s struct{ Session struct{ ID string } }
	c.must("POST", "/projects/"+project+"/sessions", "", map[string]any{"title": "T", "provider_id": "custom", "model_id": "m"}, &s)
	return s.Session.ID
}

func text(s string) map[string]any {
	return map[string]any{"role": "user", "content": []map[string]string{{"type": "text", "text": s}}}
}
