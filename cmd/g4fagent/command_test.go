package main_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program runs the binary to its end.
func program(t testing.TB, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(cmd.Environ(), env...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if failed := cmd.Run(); failed != nil {
		if _, exited := errors.AsType[*exec.ExitError](failed); !exited {
			t.Fatal(failed)
		}
	}
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env  string
		args []string
		code int
		says string
	}{
		"help":               {"", []string{"--help"}, 0, "g4fagent serve"},
		"help of serve":      {"", []string{"serve", "--help"}, 0, "--data-dir"},
		"a flag's variable":  {"", []string{"serve", "--help"}, 0, "[$G4FAGENT_RUN_TIMEOUT]"},
		"other variables":    {"", []string{"serve", "--help"}, 0, "G4FAGENT_MASTER_KEY"},
		"its old name":       {"", []string{"server", "--help"}, 0, "--base-path"},
		"help of fsck":       {"", []string{"fsck", "--help"}, 0, "Exit code 0"},
		"version":            {"", []string{"version"}, 0, "g4fagent 1.0.0 (dev)"},
		"a flag of none":     {"", []string{"serve", "--no-such-flag"}, 2, "no-such-flag"},
		"a port of none":     {"", []string{"serve", "--port", "65536"}, 2, "65536"},
		"no number":          {"", []string{"serve", "--port", "many"}, 2, "port"},
		"port in env":        {"G4FAGENT_PORT=many", []string{"serve"}, 2, "G4FAGENT_PORT"},
		"TTL in env":         {"G4FAGENT_ACCESS_TOKEN_TTL=soon", []string{"serve"}, 2, "G4FAGENT_ACCESS_TOKEN_TTL"},
		"the other TTL":      {"G4FAGENT_REFRESH_TOKEN_TTL=1h", []string{"serve"}, 2, "G4FAGENT_REFRESH_TOKEN_TTL"},
		"auth in env":        {"G4FAGENT_AUTH_DISABLED=perhaps", []string{"serve"}, 2, "G4FAGENT_AUTH_DISABLED"},
		"log level":          {"G4FAGENT_LOG_LEVEL=loud", []string{"serve"}, 2, "loud"},
		"log format":         {"", []string{"serve", "--log-format", "xml"}, 2, "xml"},
		"proxies":            {"G4FAGENT_TRUSTED_PROXIES=everybody", []string{"serve"}, 2, "everybody"},
		"no time for runs":   {"", []string{"serve", "--run-timeout", "10ms"}, 2, "run-timeout"},
		"no end of tokens":   {"G4FAGENT_RUN_MAX_OUTPUT_TOKENS=200000", []string{"serve"}, 2, "run-max-output-tokens"},
		"fewer than none":    {"", []string{"serve", "--run-max-output-tokens", "-1"}, 2, "run-max-output-tokens"},
		"open to the world":  {"", []string{"serve", "--auth-disabled", "--host", "0.0.0.0"}, 2, "loopback"},
		"a bare proxy":       {"", []string{"serve", "--trusted-proxy", "foo"}, 2, `--trusted-proxy "foo" is no network such as 10.0.0.0/8`},
		"a relative path":    {"", []string{"serve", "--base-path", "foo"}, 2, `--base-path: base path "foo": want / or a plain path`},
		"another database":   {"", []string{"serve", "--database-url", "mysql://u:secret@x"}, 2, "--database-url: mysql://… is no Postgres: want postgres://"},
		"no database":        {"", []string{"fsck", "--database-url", "x"}, 2, "--database-url: "},
		"database in env":    {"DATABASE_URL=mysql://x", []string{"serve"}, 2, "--database-url: mysql://…"},
		"another log":        {"", []string{"serve", "--eventstore-url", "http://x"}, 2, "--eventstore-url: want esdb://"},
		"a log of fsck":      {"", []string{"fsck", "--eventstore-url", "http://x"}, 2, "--eventstore-url: want esdb://"},
		"a read model":       {"", []string{"rebuild", "--projection", "zzz"}, 2, `--projection: there is no read model "zzz"; there are access_v1, `},
		"one to skip in":     {"", []string{"readmodels", "skip", "zzz", "--position", "1/1", "--reason", "r"}, 2, `there is no read model "zzz"; there are access_v1, `},
		"a position of none": {"", []string{"readmodels", "skip", "access_v1", "--position", "x", "--reason", "r"}, 2, "--position: "},
		"half a certificate": {"", []string{"serve", "--tls-cert", "x.pem"}, 2, "--tls-key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := program(t, []string{test.env}, test.args...)
			if code != test.code || !strings.Contains(stdout+stderr, test.says) {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
			if code == 0 && stderr != "" || code != 0 && stdout != "" {
				t.Errorf("stdout %q, stderr %q", stdout, stderr)
			}
		})
	}
}

// The first start makes a password and shows it once; nobody has a default.
func TestFirstPassword(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start("G4FAGENT_ADMIN_PASSWORD=")
	shown := ""
	for line := range strings.Lines(s.out.String()) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "password "); ok {
			shown = strings.Fields(rest)[0]
		}
	}
	if len(shown) < 16 {
		t.Fatalf("the password is %q:\n%s", shown, s.out)
	}
	c := &client{server: s}
	for _, guess := range []string{"admin", "", password} {
		c.send("POST", "/auth/login", `{"method":"password","email":"`+email+`","password":"`+guess+`"}`).want(t, 401, "invalid_credentials")
	}
	c.send("POST", "/auth/login", `{"method":"api_key","api_key":"dev-api-key"}`).want(t, 401, "invalid_credentials")
	c.send("POST", "/auth/login", `{"method":"password","email":"`+email+`","password":"`+shown+`"}`).want(t, 200, "")
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.start("G4FAGENT_ADMIN_PASSWORD=")
	if strings.Contains(s.out.String(), shown) || strings.Contains(s.out.String(), "shown this once") {
		t.Errorf("it is shown again:\n%s", s.out)
	}
	c = &client{server: s}
	c.send("POST", "/auth/login", `{"method":"password","email":"`+email+`","password":"`+shown+`"}`).want(t, 200, "")
}

// A second signal does not wait for what the first began.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	c := s.login()
	session := c.session(c.project())
	// A body that does not come keeps the server from draining.
	slow, release := slowBody()
	defer release()
	go func() {
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/sessions/"+session+"/messages", slow)
		if err != nil {
			return
		}
		r.Header.Set("Authorization", "Bearer "+c.token)
		if res, err := http.DefaultClient.Do(r); err == nil {
			_ = res.Body.Close() // only that an answer came would matter
		}
	}()
	<-slow.asked
	for range 2 {
		if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-time.After(300 * time.Millisecond)
	}
	select {
	case <-s.done:
	case <-time.After(3 * time.Second):
		t.Error("it goes on after a second signal")
	}
	s.start() // nothing is broken
	s.login()
}

// slowBody has nothing to read until it is released.
func slowBody() (*slow, func()) {
	s := &slow{asked: make(chan struct{}), released: make(chan struct{})}
	return s, func() { close(s.released) }
}

type slow struct{ asked, released chan struct{} }

func (s *slow) Read(p []byte) (int, error) {
	select {
	case <-s.asked:
		<-s.released
		return 0, errors.New("released")
	default:
		close(s.asked)
		return copy(p, `{"role":`), nil
	}
}
