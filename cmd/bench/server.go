package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

const (
	email    = "admin@g4fagent.local"
	password = "correct-horse-battery"

	stopBound   = 20 * time.Second
	sampleEvery = 100 * time.Millisecond
)

// server is the program under measurement: a process of its own, one after
// another on the same data folder.
type server struct {
	binary, dir string
	args        []string
	pprof       string // where it serves profiles, if it does

	cmd     *exec.Cmd
	out     *output  // what it says about itself
	log     *os.File // its log, at the default level
	exited  chan struct{}
	address string // host:port
	base    string // path of the API
	token   string
	most    atomic.Uint64 // bytes resident, at most so far
}

func newServer(binary, dir string, args []string) *server {
	return &server{binary: binary, dir: dir, args: args}
}

// output keeps what a process says, for the error that needs it.
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

// start starts a process and logs in.
func (s *server) start(ctx context.Context) error {
	s.out, s.exited = &output{}, make(chan struct{})
	args := append([]string{"serve", "--data-dir", s.dir, "--host", "127.0.0.1", "--port", "0"}, s.args...)
	if s.pprof != "" {
		args = append(args, "--pprof", s.pprof)
	}
	s.cmd = exec.Command(s.binary, args...) //nolint:gosec,noctx // the operator's binary; stop ends it in order
	s.cmd.Env = append(os.Environ(), "G4FAGENT_ADMIN_PASSWORD="+password)
	var err error
	if s.log, err = os.Create(s.dir + ".log"); err != nil {
		s.cmd = nil
		return fmt.Errorf("make the server's log: %w", err)
	}
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.log
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return errors.Join(fmt.Errorf("start the server: %w", err), s.log.Close())
	}
	go s.watch(s.cmd, s.exited)
	if err := s.await(ctx); err != nil {
		return fmt.Errorf("%w; the server's last words:\n%s", err, s.lastWords())
	}
	// A login outlives the process that gave it.
	if s.token != "" {
		return nil
	}
	return s.login(ctx)
}

// watch samples the process's resident memory until it ends.
func (s *server) watch(cmd *exec.Cmd, exited chan struct{}) {
	ended := make(chan struct{})
	go func() {
		defer close(exited)
		defer close(ended)
		_ = cmd.Wait() // how it ended is for stop to say
	}()
	p, err := process.NewProcess(int32(cmd.Process.Pid))
	if err != nil {
		return
	}
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			if m, err := p.MemoryInfo(); err == nil && m.RSS > s.most.Load() {
				s.most.Store(m.RSS)
			}
		}
	}
}

// peak is the most memory, in bytes, that any of the processes had resident.
func (s *server) peak() uint64 { return s.most.Load() }

var apiLine = regexp.MustCompile(`(?m)^\s+API\s+(\S+)$`)

// await waits until the server says where it is and is ready.
func (s *server) await(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if m := apiLine.FindStringSubmatch(s.out.String()); m != nil {
			u, err := url.Parse(m[1])
			if err != nil {
				return fmt.Errorf("read the server's address: %w", err)
			}
			s.address, s.base = u.Host, u.Path
			if s.ready(ctx) {
				return nil
			}
		}
		select {
		case <-s.exited:
			return errors.New("the server ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("wait for the server: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func (s *server) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }() // it was read
	return res.StatusCode == http.StatusOK
}

// stop ends the process in order.
func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	defer func() { s.cmd = nil }()
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-s.exited:
	case <-time.After(stopBound):
		_ = s.cmd.Process.Kill() // it may have ended just now
		<-s.exited
		return fmt.Errorf("the server did not end within %s", stopBound)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the server ended with code %d; its last words:\n%s", code, s.lastWords())
	}
	return s.log.Close()
}

// lastWords is the end of the server's log.
func (s *server) lastWords() string {
	const enough = 2 << 10
	info, err := s.log.Stat()
	if err != nil {
		return err.Error()
	}
	end := make([]byte, min(info.Size(), enough))
	if _, err := s.log.ReadAt(end, info.Size()-int64(len(end))); err != nil {
		return err.Error()
	}
	return string(end)
}

// request is a request of an operation, as bytes.
func (s *server) request(method, path, body string, header ...string) []byte {
	if s.token != "" {
		header = append(header, "Authorization: Bearer "+s.token)
	}
	return request(method, s.address, s.base+path, body, header...)
}

// ask sends one request on a connection of its own and reads the answer's JSON.
func (s *server) ask(ctx context.Context, method, path string, body, into any) error {
	raw := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("write a body: %w", err)
		}
		raw = string(b)
	}
	c, err := dial(ctx, s.address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing is left to be sent
	a, err := c.exchange(s.request(method, path, raw), true)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return fmt.Errorf("read the answer of %s %s: %w", method, path, err)
	}
	return nil
}

func (s *server) login(ctx context.Context) error {
	var tokens struct {
		AccessToken string `json:"access_token"`
	}
	if err := s.ask(ctx, http.MethodPost, "/auth/login", map[string]string{"method": "password", "email": email, "password": password}, &tokens); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	s.token = tokens.AccessToken
	return nil
}

func (s *server) createProject(ctx context.Context) (string, error) {
	var p struct{ Project struct{ ID string } }
	err := s.ask(ctx, http.MethodPost, "/projects", map[string]string{"name": "Bench"}, &p)
	return p.Project.ID, err
}

// createSessions makes n sessions in the project.
func (s *server) createSessions(ctx context.Context, project string, n int) ([]string, error) {
	ids := make([]string, n)
	for i := range ids {
		var created struct{ Session struct{ ID string } }
		body := map[string]any{"title": "Bench", "provider_id": "custom", "model_id": "m"}
		if err := s.ask(ctx, http.MethodPost, "/projects/"+project+"/sessions", body, &created); err != nil {
			return nil, err
		}
		ids[i] = created.Session.ID
	}
	return ids, nil
}

// text is what a message says: 200 bytes.
var text = strings.Repeat("Rename it. ", 18) + "Go!"

func message(meta string) string {
	return `{"role":"user","content":[{"type":"text","text":"` + text + `"}],"meta":` + meta + `}`
}
