package users_test

import (
	"slices"
	"testing"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
	"github.com/g4fagent/g4fagent/projections/users"
)

func TestUsers(t *testing.T) {
	t.Parallel()
	kit := projectiontest.Start(t, users.Projector())
	kit.Apply("user-a", eventschema.UserCreated{UserID: "a", Name: "Ana", Email: "ana@example.com", Roles: []string{"viewer"}},
		eventschema.UserUpdated{UserID: "a", Name: new("Ana Ito")}, eventschema.UserPasswordChanged{UserID: "a", Verifier: "v"})
	kit.Apply("user-b", eventschema.UserCreated{UserID: "b", Name: "Ben", Email: "ben@example.com", Roles: []string{}}, eventschema.UserDisabled{UserID: "b"})
	kit.Apply("user-c", eventschema.UserCreated{UserID: "c", Name: "Gone", Email: "c@example.com", Roles: []string{}}, eventschema.UserDeleted{UserID: "c"})

	a, found, err := users.ByID(t.Context(), kit.Pool, "a")
	if err != nil || !found || a.Name != "Ana Ito" || a.Revision != 2 || a.Email != "ana@example.com" || !slices.Equal(a.Roles, []string{"viewer"}) {
		t.Fatalf("%+v %v %v", a, found, err)
	}
	for name, tc := range map[string]struct {
		filter users.Filter
		want   []string
	}{
		"all":      {users.Filter{}, []string{"a", "b"}},
		"disabled": {users.Filter{Disabled: new(true)}, []string{"b"}},
		"enabled":  {users.Filter{Disabled: new(false)}, []string{"a"}},
		"name":     {users.Filter{Text: "ito"}, []string{"a"}},
		"address":  {users.Filter{Text: "BEN@"}, []string{"b"}},
	} {
		list, err := users.List(t.Context(), kit.Pool, tc.filter, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, u := range list {
			ids = append(ids, u.ID)
		}
		if !slices.Equal(ids, tc.want) {
			t.Errorf("%s: %v", name, ids)
		}
	}
	kit.Apply("user-b", eventschema.UserEnabled{UserID: "b"})
	if b, _, err := users.ByID(t.Context(), kit.Pool, "b"); err != nil || b.Disabled || b.Revision != 2 {
		t.Errorf("%+v %v", b, err)
	}
}
