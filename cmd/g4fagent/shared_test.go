package main_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Most tests share one server: to start one takes seconds. Each has an address of
// its own there, and makes what it works on.

// suite stands in for a test where something belongs to all of them.
type suite struct {
	testing.TB

	cleanups []func()
	server   *server // nil until a test needed it
}

func (s *suite) Helper()                   {}
func (s *suite) Failed() bool              { return false }
func (s *suite) Cleanup(f func())          { s.cleanups = append(s.cleanups, f) }
func (s *suite) Fatal(args ...any)         { panic(fmt.Sprint(args...)) }
func (s *suite) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (s *suite) Error(args ...any)         { panic(fmt.Sprint(args...)) }
func (s *suite) Errorf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

var (
	everyTest suite

	sharedServer = sync.OnceValue(func() *server {
		s := newServer(&everyTest, "--trusted-proxy", "127.0.0.0/8", "--log-level", "debug")
		s.start("G4FAGENT_API_KEY=" + apiKey)
		everyTest.server = s
		return s
	})
	sharedAdmin = sync.OnceValue(func() string { return sharedServer().login().token })
)

const apiKey = "key-of-the-service-account-4f0d1b"

// endShared ends what sharedServer started. After all that the tests did to it,
// the server must end in order, with a clean log and clean read models.
func endShared() error {
	if everyTest.server == nil {
		return nil
	}
	defer func() {
		for _, cleanup := range everyTest.cleanups {
			cleanup()
		}
	}()
	s := everyTest.server
	code := s.stop()
	said := s.out.String()
	for line := range strings.Lines(said) {
		failed := strings.Contains(line, "level=ERROR") && !strings.Contains(line, "code=not_implemented")
		if failed || strings.Contains(line, "DATA RACE") || strings.HasPrefix(line, "panic:") {
			_, rest, _ := strings.Cut(said, line)
			return fmt.Errorf("it said %s%.4000s", line, rest)
		}
	}
	if code != 0 {
		return fmt.Errorf("exit code %d\n%s", code, tail(said, 40))
	}
	out, err := exec.Command(binary, "fsck", "--data-dir", s.dir, "--log-level", "error").CombinedOutput()
	if err != nil {
		return fmt.Errorf("fsck: %w\n%s", err, out)
	}
	return nil
}

var addresses atomic.Uint32

// visitor is somebody new at the shared server, who has not logged in.
func visitor(t testing.TB) *client {
	t.Helper()
	s := *sharedServer()
	s.t = t
	n := addresses.Add(1)
	return &client{server: &s, address: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String()}
}

// admin is the first administrator at the shared server. All share one login.
func admin(t testing.TB) *client {
	t.Helper()
	c := visitor(t)
	c.token = sharedAdmin()
	return c
}

// person is an account with its login.
type person struct {
	*client

	id, email, password string
}

// person creates an account with the roles and logs in to it.
func (c *client) person(roles ...string) person {
	c.server.t.Helper()
	v := visitor(c.server.t)
	p := person{v, "", "person" + strings.ReplaceAll(v.address, ".", "-") + "@example.org", "a-secret-of-" + v.address}
	var made struct{ User struct{ ID string } }
	c.must("POST", "/admin/users", "", map[string]any{"name": "Person", "email": p.email, "password": p.password, "roles": roles}, &made)
	p.id = made.User.ID
	p.token = p.again().token
	return p
}

// tokens are what a login hands out.
type tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
}

// logIn logs in once more.
func (p person) logIn() tokens {
	p.server.t.Helper()
	var got tokens
	nobody := client{server: p.server, address: p.address}
	nobody.must("POST", "/auth/login", "", map[string]any{"method": "password", "email": p.email, "password": p.password}, &got)
	return got
}

// again is the person with another login.
func (p person) again() *client {
	p.server.t.Helper()
	return &client{server: p.server, address: p.address, token: p.logIn().AccessToken}
}

// send sends a body as it is. Headers are names and values in turn.
func (c *client) send(method, path, body string, headers ...string) answer {
	t := c.server.t
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, c.server.url+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.ask(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	raw, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{res.StatusCode, res.Header, raw}
}

// want fails the test unless the answer has the status and the code; a success
// has none.
func (a answer) want(t testing.TB, status int, code string) answer {
	t.Helper()
	if a.status != status || a.code() != code {
		t.Errorf("answered %d %.300s, want %d %s", a.status, a.body, status, code)
	}
	return a
}
