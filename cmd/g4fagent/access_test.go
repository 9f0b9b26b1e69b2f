package main_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// What ends an access ends it for the very next request, of every login of the
// user's.
func TestAccessEndsAtOnce(t *testing.T) {
	t.Parallel()
	root := admin(t)
	user := func(p person) string { return "/admin/users/" + p.id }
	for name, test := range map[string]struct {
		end    func(root *client, p person)
		second int // what the other login is answered
	}{
		"logout": {func(_ *client, p person) { p.must("POST", "/auth/logout", "", map[string]any{}, nil) }, 200},
		"password change": {func(c *client, p person) {
			c.must("PATCH", user(p), "", map[string]any{"password": "another-secret-entirely"}, nil)
		}, 401},
		"disabling": {func(c *client, p person) { c.must("PATCH", user(p), "", map[string]any{"disabled": true}, nil) }, 401},
		"deletion":  {func(c *client, p person) { c.must("DELETE", user(p), "", nil, nil) }, 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := root.on(t)
			p := c.person("viewer")
			second, third := p.logIn(), p.logIn()
			other := &client{server: p.server, address: p.address, token: second.AccessToken}
			p.send("GET", "/projects", "").want(t, 200, "")
			other.send("GET", "/projects", "").want(t, 200, "")
			test.end(c, p)
			p.send("GET", "/projects", "").want(t, 401, "unauthorized")
			if test.second == 200 {
				other.send("GET", "/projects", "").want(t, 200, "")
				return
			}
			other.send("GET", "/projects", "").want(t, 401, "unauthorized")
			p.token = ""
			p.send("POST", "/auth/refresh", `{"refresh_token":"`+third.RefreshToken+`"}`).want(t, 401, "invalid_refresh_token")
			p.send("POST", "/auth/login", `{"method":"password","email":"`+p.email+`","password":"`+p.password+`"}`).want(t, 401, "invalid_credentials")
		})
	}

	t.Run("logout ends another login of the same user's, and of nobody else", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		p, stranger := c.person("viewer"), c.person("viewer")
		mine, theirs := p.logIn(), stranger.logIn()
		first := p.again()
		first.must("POST", "/auth/logout", "", map[string]any{"refresh_token": theirs.RefreshToken}, nil)
		stranger.token = theirs.AccessToken
		stranger.send("GET", "/me", "").want(t, 200, "")
		p.must("POST", "/auth/logout", "", map[string]any{"refresh_token": mine.RefreshToken}, nil)
		p.token = mine.AccessToken
		p.send("GET", "/me", "").want(t, 401, "unauthorized")
	})
}

func TestRolesChangeAtOnce(t *testing.T) {
	t.Parallel()
	c := admin(t)
	p := c.person("viewer")
	other := p.again()
	for _, step := range []struct {
		roles  []string
		status int
	}{{[]string{"developer"}, 200}, {[]string{"viewer"}, 403}, {[]string{"nothing", "admin"}, 200}, {[]string{}, 403}} {
		c.must("PATCH", "/admin/users/"+p.id, "", map[string]any{"roles": step.roles}, nil)
		for _, login := range []*client{p.client, other} {
			if a := login.send("POST", "/projects", `{"name":"Mine"}`); a.status != step.status {
				t.Errorf("with %v: %d %s", step.roles, a.status, a.body)
			}
		}
	}
}

// A refresh token is good once. Shown again at once it is taken for a retry, once
// more for a theft, which ends the login.
func TestRefresh(t *testing.T) {
	t.Parallel()
	c := admin(t)
	p := c.person("viewer")
	first := p.logIn()
	refresh := func(token string) answer {
		nobody := client{server: p.server, address: p.address}
		return nobody.send("POST", "/auth/refresh", `{"refresh_token":"`+token+`"}`)
	}
	second := decode[tokens](t, refresh(first.RefreshToken).want(t, 200, ""))
	retried := decode[tokens](t, refresh(first.RefreshToken).want(t, 200, ""))
	p.token = retried.AccessToken
	p.send("GET", "/me", "").want(t, 200, "")
	refresh(first.RefreshToken).want(t, 401, "invalid_refresh_token")
	for _, dead := range []tokens{first, second, retried} {
		p.token = dead.AccessToken
		p.send("GET", "/me", "").want(t, 401, "unauthorized")
		refresh(dead.RefreshToken).want(t, 401, "invalid_refresh_token")
	}
	if found := all[audited](c, "/audit?type=auth.token_reuse_detected&actor="+p.id); len(found) != 1 {
		t.Errorf("the audit has %+v", found)
	}
}

func TestAPIKey(t *testing.T) {
	t.Parallel()
	v := visitor(t)
	v.send("POST", "/auth/login", `{"method":"api_key","api_key":"wrong"}`).want(t, 401, "invalid_credentials")
	v.token = decode[tokens](t, v.send("POST", "/auth/login", `{"method":" API_key ","api_key":"`+apiKey+`"}`).want(t, 200, "")).AccessToken
	v.send("GET", "/me", "").want(t, 200, "")
}

// An account that an administrator deleted does not come back with a restart: the
// operator is told that the configured key is of no use.
func TestAnAPIKeyWithoutItsAccount(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const told = "the configured API key logs nobody in"
	withKey := `{"method":"api_key","api_key":"` + apiKey + `"}`
	s.start("G4FAGENT_API_KEY=" + apiKey)
	if strings.Contains(s.out.String(), told) {
		t.Error("the first start warns of a key that is good")
	}
	c := s.login()
	c.send("POST", "/auth/login", withKey).want(t, 200, "")
	c.must("DELETE", "/admin/users/user_service", "", nil, nil)
	s.stop()
	s.start("G4FAGENT_API_KEY=" + apiKey)
	if said := s.out.String(); strings.Count(said, told) != 1 || !strings.Contains(said, "WARN") {
		t.Error("nothing is said of the key whose account is gone")
	}
	s.login().send("POST", "/auth/login", withKey).want(t, 401, "invalid_credentials")
	s.stop()
	s.start()
	if strings.Contains(s.out.String(), told) {
		t.Error("a start without a key warns of one")
	}
}

// Guessing gets slower, for the account and not for everybody.
func TestGuessing(t *testing.T) {
	t.Parallel()
	c := admin(t)
	p := c.person("viewer")
	guesser := visitor(t)
	guess := func() answer {
		return guesser.send("POST", "/auth/login", `{"method":"password","email":"`+p.email+`","password":"guess"}`)
	}
	var last answer
	for range 10 {
		if last = guess(); last.status == http.StatusTooManyRequests {
			break
		}
		last.want(t, 401, "invalid_credentials")
	}
	last.want(t, http.StatusTooManyRequests, "rate_limited")
	if seconds, err := strconv.Atoi(last.header.Get("Retry-After")); err != nil || seconds < 1 {
		t.Errorf("Retry-After is %q", last.header.Get("Retry-After"))
	}
	p.again() // who has logged in from here before is not locked out
	c.person("viewer")
}

// An unknown address, a wrong password and a disabled account look the same.
func TestLoginTellsNothing(t *testing.T) {
	t.Parallel()
	c := admin(t)
	p := c.person("viewer")
	c.must("PATCH", "/admin/users/"+p.id, "", map[string]any{"disabled": true}, nil)
	v := visitor(t)
	for _, body := range []string{
		`{"method":"password","email":"nobody@example.org","password":"x"}`,
		`{"method":"password","email":"` + email + `","password":"x"}`,
		`{"method":"password","email":"` + p.email + `","password":"` + p.password + `"}`,
		`{"method":"password","email":"` + p.email + `","password":"x"}`,
		`{"method":"password"}`,
		`{"method":"api_key"}`,
	} {
		v.send("POST", "/auth/login", body).want(t, 401, "invalid_credentials")
	}
}

// Nobody can lock everybody out.
func TestLastAdministrator(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	c := s.login()
	const path = "/admin/users/user_admin"
	refuse := func() {
		t.Helper()
		c.send("DELETE", path, "").want(t, 409, "last_admin")
		c.send("PATCH", path, `{"disabled":true}`).want(t, 409, "last_admin")
		c.send("PATCH", path, `{"roles":["viewer"]}`).want(t, 409, "last_admin")
	}
	refuse()
	var made struct{ User struct{ ID string } }
	c.must("POST", "/admin/users", "", map[string]any{"name": "B", "email": "b@example.org", "roles": []string{"admin"}}, &made)
	c.must("PATCH", "/admin/users/"+made.User.ID, "", map[string]any{"disabled": true}, nil)
	refuse() // a disabled one does not count
	c.must("PATCH", "/admin/users/"+made.User.ID, "", map[string]any{"disabled": false}, nil)
	c.must("DELETE", path, "", nil, nil)
	c.send("GET", "/me", "").want(t, 401, "unauthorized")
}
