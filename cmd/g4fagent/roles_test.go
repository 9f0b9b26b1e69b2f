package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/internal/identity"
)

// grants says which permissions a role has; everybody has public, and everybody
// who is known has self.
var grants = map[string][]identity.Permission{
	"admin":     {"read", "write", "tools.register", "settings.write", "users.read", "users.write", "audit.read"},
	"auditor":   {"read", "users.read", "audit.read"},
	"developer": {"read", "write"},
	"viewer":    {"read"},
	"librarian": nil, // a role that nobody defined
}

// audited is a record of the audit.
type audited struct {
	ID          string
	Type        string
	ActorUserID string `json:"actor_user_id"`
	RequestID   string `json:"request_id"`
	IP          string
	Data        struct {
		Operation string
		Code      string
		ByAddress map[string]int `json:"by_address"`
	}
}

// Every operation lets in whom the document's permission and the roles say, and
// refuses everybody else, which the audit knows to the number.
func TestRoles(t *testing.T) {
	t.Parallel()
	root := admin(t)
	for role := range grants {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			who := root.on(t).person(role)
			walk(t, who.client, who.id, func(p identity.Permission) bool {
				return p == "public" || p == "self" || slices.Contains(grants[role], p)
			})
		})
	}
	t.Run("anonymous", func(t *testing.T) {
		t.Parallel()
		walk(t, visitor(t), "", func(p identity.Permission) bool { return p == "public" })
	})
}

// on is the client in another test.
func (c *client) on(t testing.TB) *client {
	t.Helper()
	s := *c.server
	s.t = t
	return &client{server: &s, token: c.token, address: c.address}
}

// walk asks every operation, with a body that none takes and of things that are
// not there: whoever is let in changes nothing.
func walk(t *testing.T, who *client, id string, may func(identity.Permission) bool) {
	t.Helper()
	status, code := http.StatusForbidden, "forbidden"
	if id == "" {
		status, code = http.StatusUnauthorized, "unauthorized"
	}
	refused := map[string]string{} // from the request's id to the operation's
	for i, o := range api.Operations() {
		request := fmt.Sprintf("walk-%s-%d", who.address, i)
		body := ""
		if o.Body == api.JSONBody {
			body = "[]"
		}
		a := who.send(o.Method, nowhere(o.Path), body, "X-Request-Id", request)
		if may(o.Permission) {
			if a.status == http.StatusUnauthorized || a.status == http.StatusForbidden {
				t.Errorf("%s %s: %d %s", o.Method, o.Path, a.status, a.body)
			}
			continue
		}
		a.want(t, status, code)
		refused[request] = o.ID
	}
	if len(refused) > 0 {
		recorded(t, who.address, id, code, refused)
	}
}

// nowhere puts ids into a path of which there is nothing.
func nowhere(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") {
			parts[i] = "none_0"
		}
	}
	return strings.Join(parts, "/")
}

// recorded waits until the audit has each refusal: one by one as far as they are
// few, and in a summary's counts beyond.
func recorded(t *testing.T, address, id, code string, refused map[string]string) {
	t.Helper()
	auditor := admin(t)
	var one, counted int
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(250 * time.Millisecond) {
		one = 0
		for _, a := range all[audited](auditor, "/audit?type=access.denied") {
			if a.IP != address {
				continue
			}
			one++
			if a.ActorUserID != id || a.Data.Code != code || a.Data.Operation != refused[a.RequestID] {
				t.Fatalf("the audit has %+v", a)
			}
		}
		counted = 0
		for _, a := range all[audited](auditor, "/audit?type=access.refusals_summarized") {
			counted += a.Data.ByAddress[address]
		}
		if one+counted >= len(refused) || time.Now().After(deadline) {
			break
		}
	}
	if one+counted != len(refused) {
		t.Errorf("%d refusals: %d recorded, %d summarized", len(refused), one, counted)
	}
	if one < min(len(refused), 20) {
		t.Errorf("only %d of %d refusals were recorded one by one", one, len(refused))
	}
}

func decode[T any](t testing.TB, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return v
}
