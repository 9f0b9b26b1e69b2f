package commands_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/domain/login"
	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/internal/token"
)

const email = "ada@example.org"

func (r *rig) logIn(password string) (commands.Login, error) {
	return r.LogInWithPassword(r.by(request{user: "-"}), email, password)
}

func mustLogIn(t testing.TB, r *rig) commands.Login {
	t.Helper()
	l, err := r.logIn("secret")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (r *rig) family(l commands.Login) string {
	r.t.Helper()
	claims, ok := r.tokens.ReadAccess(l.AccessToken)
	if !ok {
		r.t.Fatalf("%q is no access token", l.AccessToken)
	}
	return claims.Family
}

func TestALogin(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.user(email, "viewer")
	l := mustLogIn(t, r)
	claims, ok := r.tokens.ReadAccess(l.AccessToken)
	if !ok || claims.UserID != id || l.ExpiresIn != time.Hour || l.RefreshToken == "" {
		t.Errorf("the login is %+v of %+v", l, claims)
	}
	record := r.records("login-" + claims.Family)[0]
	if record.Meta.ActorUserID != id || record.Meta.IP != "192.0.2.7" || record.Meta.RequestID == "" {
		t.Errorf("the login is recorded as %+v", record.Meta)
	}
	if raw := string(record.Stored.Data); strings.Contains(raw, l.RefreshToken) || strings.Contains(raw, l.AccessToken) || strings.Contains(raw, "secret\"") {
		t.Errorf("the log holds what proves the login: %s", raw)
	}
	if other := mustLogIn(t, r); r.family(other) == claims.Family {
		t.Error("two logins are one family")
	}
	if _, err := r.LogInWithPassword(r.someone(), "  ADA@example.ORG ", "secret"); err != nil {
		t.Errorf("the address in other letters: %v", err)
	}
}

// Whoever cannot log in learns nothing from the answer, from what it costs or from
// when it is throttled.
func TestLoginsThatFailAreAlike(t *testing.T) {
	t.Parallel()
	failed := map[string]func(r *rig, nobody *int) error{
		"an unknown address": func(r *rig, _ *int) error {
			_, err := r.LogInWithPassword(r.someone(), "eve@example.org", "secret")
			return err
		},
		"a wrong password": func(r *rig, _ *int) error {
			_, err := r.logIn("wrong")
			return err
		},
		"a disabled account": func(r *rig, _ *int) error {
			id := r.user("bob@example.org", "viewer")
			must(r.UpdateUser(r.someone(), commands.UpdateUser{UserID: id, Disabled: new(true)}))(r.t)
			_, err := r.LogInWithPassword(r.someone(), "bob@example.org", "secret")
			return err
		},
		"a deleted account": func(r *rig, _ *int) error {
			id := r.user("bob@example.org", "viewer")
			must(r.DeleteUser(r.someone(), commands.DeleteUser{UserID: id}))(r.t)
			_, err := r.LogInWithPassword(r.someone(), "bob@example.org", "secret")
			return err
		},
		"an account without a password": func(r *rig, nobody *int) error {
			must(r.CreateUser(r.someone(), commands.CreateUser{Name: "Bob", Email: "bob@example.org"}))(r.t)
			before := *nobody
			_, err := r.LogInWithPassword(r.someone(), "bob@example.org", "")
			if *nobody != before+1 {
				r.t.Error("it cost nothing")
			}
			return err
		},
	}
	for name, try := range failed {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nobody := 0
			r := newRig(t, func(o *commands.Options) { o.Passwords = plain{&nobody} })
			r.user(email, "viewer")
			stop := r.record()
			err := try(r, &nobody)
			if !errors.Is(err, error(commands.ErrInvalidCredentials)) {
				t.Errorf("error is %#v", err)
			}
			if r.throttle.succeeded != 0 {
				t.Error("the throttle forgot the attempt")
			}
			stop()
			failures := r.activity("auth.login_failed")
			if len(failures) != 1 || !strings.Contains(string(failures[0].Stored.Data), `"code":"invalid_credentials"`) {
				t.Errorf("recorded as %+v", failures)
			}
			if len(failures) == 1 && strings.Contains(string(failures[0].Stored.Data), "@") {
				t.Errorf("the log holds the address: %s", failures[0].Stored.Data)
			}
		})
	}
}

func TestARefreshTokenIsSpentOnce(t *testing.T) {
	t.Parallel()
	a := newRig(t)
	b := rigOn(t, a.log, func(o *commands.Options) { o.Now = a.clock.Now })
	a.user(email, "viewer")
	one := mustLogIn(t, a)
	stream := "login-" + a.family(one)
	ctx := a.by(request{user: "-"})

	two, err := a.RefreshLogin(ctx, one.RefreshToken)
	if err != nil || two.RefreshToken == one.RefreshToken || a.family(two) != a.family(one) {
		t.Fatalf("refreshed to %+v, %v", two, err)
	}
	// The answer was lost: for a moment the token may be shown again, once.
	three, err := b.RefreshLogin(ctx, one.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	four, err := a.RefreshLogin(ctx, three.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	a.clock.pass(31 * time.Second)
	reused, err := b.RefreshLogin(ctx, three.RefreshToken)
	refused(t, err, login.ErrInvalidRefreshToken)
	if !slices.Equal(reused.Types(), []string{"auth.token_reuse_detected"}) || reused.AccessToken != "" || reused.Position.IsZero() {
		t.Errorf("answer %+v", reused)
	}
	_, err = a.RefreshLogin(ctx, four.RefreshToken)
	refused(t, err, login.ErrInvalidRefreshToken)
	want := []string{"auth.login_succeeded", "auth.token_refreshed", "auth.token_refreshed", "auth.token_refreshed", "auth.token_reuse_detected"}
	if names := a.names(stream); !slices.Equal(names, want) {
		t.Errorf("the family is %q", names)
	}
	for _, record := range a.records(stream) {
		if record.Meta.ActorUserID != a.records(stream)[0].Meta.ActorUserID {
			t.Errorf("%s is by %q", record.Stored.Name, record.Meta.ActorUserID)
		}
	}
}

func TestARefreshTokenThatIsNone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.record()
	unknown, _, err := r.tokens.NewRefresh("none")
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{"", "x", "rtk_x.y", unknown} {
		_, err := r.RefreshLogin(r.by(request{user: "-"}), shown)
		refused(t, err, login.ErrInvalidRefreshToken)
	}
	if names := r.names("login-none"); len(names) != 0 {
		t.Errorf("a stranger began the family %q", names)
	}
	stop()
	if n := len(r.activity("auth.login_failed")); n != 4 {
		t.Errorf("%d failures are recorded", n)
	}
}

// What ends a user's logins ends those that were begun before it, and no other.
func TestARefreshEndsWithWhatEndsTheLogin(t *testing.T) {
	t.Parallel()
	change := func(c commands.UpdateUser) func(r *rig, id string) error {
		return func(r *rig, id string) error {
			c.UserID = id
			_, err := r.UpdateUser(r.someone(), c)
			return err
		}
	}
	ends := map[string]func(r *rig, id string) error{
		"another password": change(commands.UpdateUser{Password: new("other")}),
		"disabled":         change(commands.UpdateUser{Disabled: new(true)}),
		"disabled and enabled again": func(r *rig, id string) error {
			if err := change(commands.UpdateUser{Disabled: new(true)})(r, id); err != nil {
				return err
			}
			return change(commands.UpdateUser{Disabled: new(false)})(r, id)
		},
		"deleted": func(r *rig, id string) error {
			_, err := r.DeleteUser(r.someone(), commands.DeleteUser{UserID: id})
			return err
		},
		"another password, long ago": func(r *rig, id string) error {
			if err := change(commands.UpdateUser{Password: new("other")})(r, id); err != nil {
				return err
			}
			for i := range 40 {
				if err := change(commands.UpdateUser{Name: new(strings.Repeat("x", i+1))})(r, id); err != nil {
					return err
				}
			}
			return nil
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			id := r.user(email, "viewer")
			l := mustLogIn(t, r)
			if err := end(r, id); err != nil {
				t.Fatal(err)
			}
			for _, node := range []*rig{r, rigOn(t, r.log)} {
				_, err := node.RefreshLogin(r.by(request{user: "-"}), l.RefreshToken)
				refused(t, err, login.ErrInvalidRefreshToken)
			}
		})
	}
	t.Run("what ended logins before it is no matter", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		id := r.user(email, "viewer")
		for _, password := range []string{"other", "secret"} {
			if err := change(commands.UpdateUser{Password: &password})(r, id); err != nil {
				t.Fatal(err)
			}
		}
		l := mustLogIn(t, r)
		if err := change(commands.UpdateUser{Name: new("Ada L.")})(r, id); err != nil {
			t.Fatal(err)
		}
		if _, err := r.RefreshLogin(r.by(request{user: "-"}), l.RefreshToken); err != nil {
			t.Error(err)
		}
	})
}

func TestARefreshTokenExpires(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.user(email, "viewer")
	l := mustLogIn(t, r)
	family := r.family(l)
	r.clock.pass(24 * time.Hour)
	_, err := r.RefreshLogin(r.by(request{user: "-"}), l.RefreshToken)
	refused(t, err, login.ErrInvalidRefreshToken)
	if names := r.names("login-" + family); len(names) != 1 {
		t.Errorf("the family is %q", names)
	}
}

func TestAnAPIKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	key, verifier, err := r.tokens.NewAPIKey(token.Holder{UserID: commands.ServiceUserID, KeyID: commands.ConfiguredKeyID})
	if err != nil {
		t.Fatal(err)
	}
	other, otherVerifier, err := r.tokens.NewAPIKey(token.Holder{UserID: commands.ServiceUserID, KeyID: commands.ConfiguredKeyID})
	if err != nil {
		t.Fatal(err)
	}
	if active, err := r.ConfigureAPIKey(t.Context(), verifier); err != nil || !active {
		t.Fatal(active, err)
	}
	ctx := r.by(request{user: "-"})
	l, err := r.LogInWithAPIKey(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	claims, _ := r.tokens.ReadAccess(l.AccessToken)
	if m := r.records("login-" + claims.Family)[0].Meta; claims.UserID != commands.ServiceUserID || claims.KeyID != commands.ConfiguredKeyID || m.CredentialID != commands.ConfiguredKeyID {
		t.Errorf("the login is %+v, recorded as %+v", claims, m)
	}
	for _, wrong := range []string{"", "x", other, strings.Replace(key, "gak_", "rtk_", 1)} {
		if _, err := r.LogInWithAPIKey(ctx, wrong); !errors.Is(err, error(commands.ErrInvalidCredentials)) {
			t.Errorf("with %q: %v", wrong, err)
		}
	}
	// The key is replaced under the same id: logins by the old one end.
	if active, err := r.ConfigureAPIKey(t.Context(), otherVerifier); err != nil || !active {
		t.Fatal(active, err)
	}
	_, err = r.RefreshLogin(ctx, l.RefreshToken)
	refused(t, err, login.ErrInvalidRefreshToken)
	if _, err := r.LogInWithAPIKey(ctx, key); !errors.Is(err, error(commands.ErrInvalidCredentials)) {
		t.Errorf("with the old key: %v", err)
	}
	if l, err = r.LogInWithAPIKey(ctx, other); err != nil {
		t.Fatal(err)
	}
	if _, err := r.RefreshLogin(ctx, l.RefreshToken); err != nil {
		t.Errorf("with the new key: %v", err)
	}
	configure := func(verifier string, want bool) {
		t.Helper()
		if active, err := r.ConfigureAPIKey(t.Context(), verifier); err != nil || active != want {
			t.Errorf("the account is active: %v, %v", active, err)
		}
	}
	must(r.UpdateUser(r.someone(), commands.UpdateUser{UserID: commands.ServiceUserID, Disabled: new(true)}))(t)
	configure(otherVerifier, false)
	must(r.UpdateUser(r.someone(), commands.UpdateUser{UserID: commands.ServiceUserID, Disabled: new(false)}))(t)
	configure(otherVerifier, true)
	must(r.DeleteUser(r.someone(), commands.DeleteUser{UserID: commands.ServiceUserID}))(t)
	for _, v := range []string{otherVerifier, verifier, ""} {
		configure(v, false)
	}
	if names := r.names("user-" + commands.ServiceUserID); names[len(names)-1] != "user.deleted" {
		t.Errorf("a deleted account goes on: %q", names)
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ada := r.user(email, "viewer")
	mine, alsoMine := mustLogIn(t, r), mustLogIn(t, r)
	r.user("bob@example.org", "viewer")
	theirs, err := r.LogInWithPassword(r.someone(), "bob@example.org", "secret")
	if err != nil {
		t.Fatal(err)
	}
	as := identity.WithPrincipal(r.someone(), identity.Principal{UserID: ada, Kind: identity.User, LoginFamily: r.family(mine)})
	if _, err := r.Logout(as, r.family(mine), theirs.RefreshToken); err != nil {
		t.Fatal(err)
	}
	if names := r.names("login-" + r.family(theirs)); len(names) != 1 {
		t.Errorf("another user's login is %q", names)
	}
	if _, err := r.RefreshLogin(as, theirs.RefreshToken); err != nil {
		t.Errorf("another user cannot go on: %v", err)
	}
	_, err = r.RefreshLogin(as, mine.RefreshToken)
	refused(t, err, login.ErrInvalidRefreshToken)

	receipt := must(r.Logout(as, r.family(mine), alsoMine.RefreshToken))(t) // again, with another one
	if !slices.Equal(receipt.Types(), []string{"auth.logged_out"}) {
		t.Errorf("logged out of %q", receipt.Types())
	}
	_, err = r.RefreshLogin(as, alsoMine.RefreshToken)
	refused(t, err, login.ErrInvalidRefreshToken)
	for _, shown := range []string{"", "x", mine.RefreshToken} {
		if receipt := must(r.Logout(as, r.family(mine), shown))(t); len(receipt.Events) != 0 {
			t.Errorf("logged out once more: %q", receipt.Types())
		}
	}
	if receipt := must(r.Logout(r.someone(), "", ""))(t); len(receipt.Events) != 0 { // not by a login
		t.Errorf("logged out of nothing: %q", receipt.Types())
	}
}

// /auth ignores idempotency keys: tokens are shown once.
func TestLoginsIgnoreKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.user(email, "viewer")
	ctx := r.by(request{key: "k"})
	one, err := r.LogInWithPassword(ctx, email, "secret")
	if err != nil {
		t.Fatal(err)
	}
	two, err := r.LogInWithPassword(ctx, email, "secret")
	if err != nil || one.RefreshToken == two.RefreshToken || two.Replayed {
		t.Errorf("the second login is %+v, %v", two, err)
	}
}
