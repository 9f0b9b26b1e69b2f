package access_test

import (
	"testing"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/projections/access"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
)

// Whatever ends a login ends it in the read model.
func TestLogins(t *testing.T) {
	t.Parallel()
	kit := projectiontest.Start(t, access.Projector())
	inForce := func(family string) (access.Login, bool) {
		t.Helper()
		login, found, err := access.ByFamily(t.Context(), kit.Pool, family)
		if err != nil {
			t.Fatal(err)
		}
		return login, found
	}
	user := func(id string) {
		kit.Apply("user-"+id, eventschema.UserCreated{UserID: id, Name: "n", Roles: []string{"viewer"}})
	}
	login := func(user, family, key string) {
		kit.Apply("login-"+family, eventschema.LoginSucceeded{Family: family, UserID: user, Method: "password", CredentialID: key, RefreshVerifier: "v"})
	}
	user("a")
	for _, family := range []string{"logout", "reuse", "changed", "revoked", "kept"} {
		login("a", family, map[string]string{"revoked": "k1", "kept": "k2"}[family])
		if l, ok := inForce(family); !ok || l.UserID != "a" || len(l.Roles) != 1 {
			t.Fatalf("%s: %+v %v", family, l, ok)
		}
	}
	kit.Apply("login-logout", eventschema.LoggedOut{Family: "logout", UserID: "a"})
	kit.Apply("login-reuse", eventschema.TokenReuseDetected{Family: "reuse", UserID: "a"})
	kit.Apply("user-a", eventschema.UserAPIKeyRevoked{UserID: "a", KeyID: "k1"})
	for family, want := range map[string]bool{"logout": false, "reuse": false, "revoked": false, "changed": true, "kept": true} {
		if _, ok := inForce(family); ok != want {
			t.Errorf("%s in force: %v", family, ok)
		}
	}
	kit.Apply("user-a", eventschema.UserUpdated{UserID: "a", Roles: new([]string{"admin", "viewer"})})
	if l, _ := inForce("kept"); len(l.Roles) != 2 {
		t.Errorf("roles = %v", l.Roles)
	}
	kit.Apply("user-a", eventschema.UserPasswordChanged{UserID: "a", Verifier: "v2"})
	for _, family := range []string{"changed", "kept"} {
		if _, ok := inForce(family); ok {
			t.Errorf("%s outlived a change of password", family)
		}
	}
	login("a", "late", "")
	kit.Apply("user-a", eventschema.UserDisabled{UserID: "a"})
	if _, ok := inForce("late"); ok {
		t.Error("a login outlived its user's being disabled")
	}
	kit.Apply("user-a", eventschema.UserEnabled{UserID: "a"})
	if _, ok := inForce("late"); ok {
		t.Error("a login came back with its user")
	}
	login("a", "again", "")
	kit.Apply("user-a", eventschema.UserDeleted{UserID: "a"})
	if _, ok := inForce("again"); ok {
		t.Error("a login outlived its user")
	}
}
