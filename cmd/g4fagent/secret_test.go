package main_test

import (
	"encoding/json"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Nothing that opens a door is in the server's output or in the audit.
func TestSecretsAreKept(t *testing.T) {
	t.Parallel()
	c := admin(t)
	since := time.Now().UTC().Add(-time.Second)
	p := c.person("developer")
	secrets := map[string]string{"password": p.password, "access token": p.token, "API key": apiKey, "a verifier": "$argon2id"}
	got := p.logIn()
	secrets["refresh token"] = got.RefreshToken
	var next tokens
	nobody := &client{server: p.server, address: p.address}
	nobody.must("POST", "/auth/refresh", "", map[string]any{"refresh_token": got.RefreshToken}, &next)
	secrets["next refresh token"], secrets["next access token"] = next.RefreshToken, next.AccessToken
	session := p.session(p.project())
	var made struct{ Ticket string }
	p.must("POST", "/auth/tickets", "", map[string]any{"path": "/stream/sessions/" + session}, &made)
	secrets["ticket"] = made.Ticket
	nobody.send("GET", "/sessions/"+session+"?ticket="+url.QueryEscape(made.Ticket), "").want(t, 401, "unauthorized")
	nobody.send("GET", "/me", "", "Authorization", "Bearer bad-"+made.Ticket).want(t, 401, "unauthorized")
	secrets["wrong password"] = "the-wrong-password-typed-in"
	nobody.send("POST", "/auth/login", `{"method":"password","email":"`+p.email+`","password":"the-wrong-password-typed-in"}`)
	secrets["password as address"] = "typed-into-the-wrong-field"
	nobody.send("POST", "/auth/login", `{"method":"password","email":"typed-into-the-wrong-field","password":"x"}`)
	secrets["wrong key"] = "a-key-that-is-almost-right"
	nobody.send("POST", "/auth/login", `{"method":"api_key","api_key":"a-key-that-is-almost-right"}`)
	secrets["wrong refresh token"] = "a-token-that-is-almost-right"
	nobody.send("POST", "/auth/refresh", `{"refresh_token":"a-token-that-is-almost-right"}`)
	secrets["new password"] = "the-new-secret-of-the-person"
	c.must("PATCH", "/admin/users/"+p.id, "secret-change-"+p.address, map[string]any{"password": "the-new-secret-of-the-person"}, nil)

	// What is refused is recorded a little later than it is answered.
	failed := "/audit?type=auth.login_failed&from=" + since.Format(time.RFC3339)
	for deadline := time.Now().Add(30 * time.Second); count(c, failed, p.address) < 4 && time.Now().Before(deadline); {
		<-time.After(100 * time.Millisecond)
	}
	rows := all[json.RawMessage](c, "/audit?from="+since.Format(time.RFC3339))
	if len(rows) < 10 || count(c, failed, p.address) < 4 {
		t.Fatalf("the audit has %d rows, %d failed logins", len(rows), count(c, failed, p.address))
	}
	said := p.server.out.String()
	if !strings.Contains(said, session) {
		t.Error("the server's log has not even the session's id")
	}
	for name, secret := range secrets {
		if strings.Contains(said, secret) {
			t.Errorf("the %s is in the server's output", name)
		}
		for _, row := range rows {
			if strings.Contains(string(row), secret) {
				t.Errorf("the %s is in the audit: %s", name, row)
			}
		}
	}
}

func count(c *client, path, address string) (n int) {
	for _, a := range all[audited](c, path) {
		if a.IP == address {
			n++
		}
	}
	return n
}

// fsck finds a row that is not what the log says, and a rebuild puts it right.
func TestTamperedRow(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	c := s.login()
	project := c.project()
	connection, err := pgx.Connect(t.Context(), "host="+filepath.Join(s.dir, "postgres", "cluster")+" port=5432 user=g4fagent dbname=g4fagent password=''")
	if err != nil {
		t.Fatal(err)
	}
	tag, err := connection.Exec(t.Context(), "update projects_v1 set name = 'Tampered' where id = $1", project)
	if err != nil || tag.RowsAffected() != 1 {
		t.Fatal(tag, err)
	}
	if err := connection.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.stop()
	code, stdout, stderr := program(t, nil, "fsck", "--data-dir", s.dir)
	if code != 3 || !strings.Contains(stdout, "projects_v1") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if code, stdout, stderr = program(t, nil, "rebuild", "--data-dir", s.dir); code != 0 {
		t.Errorf("rebuild: exit code %d\n%s%s", code, stdout, stderr)
	}
	s.fsck()
	s.start()
	var got struct{ Project struct{ Name string } }
	s.login().must("GET", "/projects/"+project, "", nil, &got)
	if got.Project.Name != "Shop" {
		t.Errorf("the project is %q", got.Project.Name)
	}
	if code, _, stderr := program(t, nil, "fsck", "--data-dir", s.dir); code != 1 || !strings.Contains(stderr, s.dir) {
		t.Errorf("fsck beside the server: exit code %d\n%s", code, stderr)
	}
}
