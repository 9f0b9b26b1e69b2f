package commands_test

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/domain/installation"
	"github.com/g4fagent/g4fagent/domain/reservation"
	"github.com/g4fagent/g4fagent/domain/user"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/identity"
)

func TestAnAddressHasOneAccount(t *testing.T) {
	t.Parallel()
	a := newRig(t)
	b := rigOn(t, a.log)
	var mu sync.Mutex
	created := 0
	together(8, func(i int) {
		node := []*rig{a, b}[i%2]
		email := []string{"ada@example.org", "Ada@Example.org", " ADA@EXAMPLE.ORG "}[i%3]
		_, err := node.CreateUser(node.someone(), commands.CreateUser{Name: strconv.Itoa(i), Email: email, Roles: []string{"viewer"}})
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			created++
		} else {
			refused(t, err, reservation.ErrEmailTaken)
		}
	})
	if names := a.names("reservation-email-" + a.EmailHash("ada@example.org")); created != 1 || !slices.Equal(names, []string{"reservation.email_taken"}) {
		t.Errorf("%d accounts, the address %q", created, names)
	}
}

func TestAnAddressIsFreeAgainOnceItsUserIsDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.user("ada@example.org", "viewer")
	deleted := must(r.DeleteUser(r.someone(), commands.DeleteUser{UserID: first}))(t)
	second := r.user("ada@example.org", "viewer")
	if first == second {
		t.Error("an id was used twice")
	}
	// The completion is late, and repeated: the address has somebody else by now.
	must(r.ReleaseEmail(r.someone(), written[eventschema.UserDeleted](t, deleted)))(t)
	must(rigOn(t, r.log).ReleaseEmail(r.someone(), written[eventschema.UserDeleted](t, deleted)))(t)
	want := []string{"reservation.email_taken", "reservation.email_released", "reservation.email_taken"}
	if names := r.names("reservation-email-" + r.EmailHash("ada@example.org")); !slices.Equal(names, want) {
		t.Errorf("the address has %q", names)
	}
	_, err := r.DeleteUser(r.someone(), commands.DeleteUser{UserID: first})
	refused(t, err, user.ErrNotFound)
}

// The process may end between the reservation and the user's start.
func TestAUsersStartIsCompleted(t *testing.T) {
	t.Parallel()
	a := newRig(t)
	b := rigOn(t, a.log)
	reserved := a.clock.Now().Truncate(time.Microsecond)
	e := eventschema.UserCreated{UserID: "user_1", Name: "Ada", Email: "ada@example.org", EmailHash: a.EmailHash("ada@example.org"), Roles: []string{"viewer"}}
	a.append("reservation-email-"+e.EmailHash, eventlog.NoStream, eventlog.Meta{At: reserved}, eventschema.EmailReserved{User: e})
	a.clock.pass(time.Hour)
	b.clock.pass(2 * time.Hour)
	together(8, func(i int) {
		if _, err := []*rig{a, b}[i%2].StartUser(identity.WithPrincipal(t.Context(), identity.Server()), e, reserved); err != nil {
			t.Error(err)
		}
	})
	records := a.records("user-user_1")
	if len(records) != 1 || decoded[eventschema.UserCreated](t, records[0]).Name != "Ada" {
		t.Errorf("the user has %q", a.names("user-user_1"))
	}
	if began := records[0].Meta.At; !began.Equal(reserved) {
		t.Errorf("the user began at %s, reserved at %s", began, reserved)
	}
	_, err := a.CreateUser(a.someone(), commands.CreateUser{Name: "Eve", Email: "ada@example.org"})
	refused(t, err, reservation.ErrEmailTaken)
}

// One key, two addresses: the id is the same, so only one of them can be. The
// other address must not stay taken by an account that does not have it.
func TestAKeyMakesOneAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	create := func(node *rig, email string) (commands.Receipt, error) {
		return node.CreateUser(node.by(request{key: "k", input: email}), commands.CreateUser{Name: "Ada", Email: email, Roles: []string{"viewer"}})
	}
	first := must(create(r, "ada@example.org"))(t)
	id := written[eventschema.UserCreated](t, first).UserID
	for _, node := range []*rig{r, rigOn(t, r.log)} {
		_, err := create(node, "eve@example.org")
		refused(t, err, commands.ErrKeyReuse)
	}
	if records := r.records("user-" + id); len(records) != 1 || decoded[eventschema.UserCreated](t, records[0]).Email != "ada@example.org" {
		t.Errorf("the user has %q", r.names("user-"+id))
	}
	r.user("eve@example.org", "viewer") // is free
	replays(t, first, must(create(r, "ada@example.org"))(t))

	t.Run("also when the first was not completed", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		first := eventschema.UserCreated{UserID: "user_1", Email: "a@example.org", EmailHash: "a"}
		second := eventschema.UserCreated{UserID: "user_1", Email: "b@example.org", EmailHash: "b"}
		for _, e := range []eventschema.UserCreated{first, second} {
			r.append("reservation-email-"+e.EmailHash, eventlog.NoStream, eventlog.Meta{At: r.clock.Now()}, eventschema.EmailReserved{User: e})
		}
		for range 2 { // the completions of both, in the order of the log, and again
			must(r.StartUser(r.someone(), first, r.clock.Now()))(t)
			must(r.StartUser(r.someone(), second, r.clock.Now()))(t)
		}
		if names := r.names("reservation-email-b"); !slices.Equal(names, []string{"reservation.email_taken", "reservation.email_released"}) {
			t.Errorf("the second address has %q", names)
		}
		if names := r.names("user-user_1"); len(names) != 1 {
			t.Errorf("the user has %q", names)
		}
	})
}

func TestAnEmailAddressIsOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, email := range []string{"", "ada", "ada@", "Ada <ada@example.org>", "a@b, c@d", strings.Repeat("x", 10)} {
		_, err := r.CreateUser(r.someone(), commands.CreateUser{Name: "Ada", Email: email})
		refused(t, err, commands.ErrInvalidEmail)
	}
	_, err := r.CreateUser(r.someone(), commands.CreateUser{Name: "Ada", Email: "ada@example.org", Password: "weak"})
	refused(t, err, errWeak)
	r.user("ada@example.org", "viewer")
}

func TestAChangeOfAUserIsToldByItsKind(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.user("ada@example.org", "viewer")
	all := commands.UpdateUser{UserID: id, Name: new("Ada L."), Roles: new([]string{"developer"}), Password: new("new"), Disabled: new(true), Match: new(int64(0))}
	receipt := must(r.UpdateUser(r.someone(), all))(t)
	if want := []string{"user.updated", "user.password_changed", "user.disabled"}; !slices.Equal(receipt.Types(), want) {
		t.Errorf("the change is told as %q", receipt.Types())
	}
	_, err := r.UpdateUser(r.someone(), all)
	refused(t, err, user.ErrPrecondition)
	_, err = r.UpdateUser(r.someone(), commands.UpdateUser{UserID: id, Password: new("weak")})
	refused(t, err, errWeak)
	_, err = r.UpdateUser(r.someone(), commands.UpdateUser{UserID: "user_none", Password: new("weak")})
	refused(t, err, user.ErrNotFound)
}

// admins are those that the installation counts.
func (r *rig) admins() []string {
	r.t.Helper()
	var s installation.State
	for _, record := range r.records("installation") {
		s = s.Evolve(decoded[eventschema.InstallationEvent](r.t, record), record.Revision)
	}
	return s.Admins
}

func TestSomebodyCanAlwaysAdminister(t *testing.T) {
	t.Parallel()
	t.Run("the last one stays", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		one, two := r.user("a@example.org", "admin"), r.user("b@example.org", "admin", "viewer")
		must(r.UpdateUser(r.someone(), commands.UpdateUser{UserID: one, Disabled: new(true)}))(t)
		_, err := r.UpdateUser(r.someone(), commands.UpdateUser{UserID: two, Roles: new([]string{"viewer"})})
		refused(t, err, installation.ErrLastAdmin)
		_, err = r.UpdateUser(r.someone(), commands.UpdateUser{UserID: two, Disabled: new(true)})
		refused(t, err, installation.ErrLastAdmin)
		_, err = r.DeleteUser(r.someone(), commands.DeleteUser{UserID: two})
		refused(t, err, installation.ErrLastAdmin)
		must(r.UpdateUser(r.someone(), commands.UpdateUser{UserID: one, Disabled: new(false)}))(t)
		must(r.DeleteUser(r.someone(), commands.DeleteUser{UserID: two}))(t)
		if got := r.admins(); !slices.Equal(got, []string{one}) {
			t.Errorf("%q can administer", got)
		}
	})
	t.Run("a refused change leaves the count alone", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		one, two := r.user("a@example.org", "admin"), r.user("b@example.org", "admin")
		wrong := new(int64(7))
		_, err := r.DeleteUser(r.someone(), commands.DeleteUser{UserID: one, Match: wrong})
		refused(t, err, user.ErrPrecondition)
		_, err = r.UpdateUser(r.someone(), commands.UpdateUser{UserID: two, Disabled: new(true), Match: wrong})
		refused(t, err, user.ErrPrecondition)
		if got := r.admins(); len(got) != 2 {
			t.Errorf("%q can administer", got)
		}
	})
	t.Run("whoever asks at the same time", func(t *testing.T) {
		t.Parallel()
		a := newRig(t)
		b := rigOn(t, a.log)
		ids := []string{a.user("a@example.org", "admin"), a.user("b@example.org", "admin"), a.user("c@example.org", "admin")}
		together(6, func(i int) {
			node := []*rig{a, b}[i%2]
			if _, err := node.UpdateUser(node.someone(), commands.UpdateUser{UserID: ids[i/2], Disabled: new(true)}); err != nil {
				refused(t, err, installation.ErrLastAdmin)
			}
		})
		if got := a.admins(); len(got) != 1 {
			t.Errorf("%q can administer", got)
		}
	})
}
