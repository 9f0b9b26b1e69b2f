package password_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/password"
)

// door is a throttle with a clock of its own.
type door struct {
	*password.Throttle

	t   *testing.T
	now time.Time
}

func newDoor(t *testing.T, o password.ThrottleOptions) *door {
	t.Helper()
	d := &door{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	o.Now = func() time.Time { return d.now }
	d.Throttle = password.NewThrottle(o)
	return d
}

// tries wants an attempt to be admitted when wait is 0, and to be told to wait so
// long otherwise.
func (d *door) tries(account, address string, wait time.Duration) {
	d.t.Helper()
	err := d.Admit(account, address)
	if wait == 0 {
		if err != nil {
			d.t.Fatalf("%s from %s is refused: %v", account, address, err)
		}
		return
	}
	known, ok := errors.AsType[*fault.Error](err)
	if !ok || known.Kind != fault.RateLimited || known.Code != "rate_limited" || known.RetryAfter != wait {
		d.t.Fatalf("%s from %s answers %#v, want to wait %s", account, address, err, wait)
	}
}

// exhausts uses up the free attempts.
func (d *door) exhausts(account, address string, burst int) {
	d.t.Helper()
	for range burst {
		d.tries(account, address, 0)
	}
}

var account = password.Limit{Burst: 3, First: time.Second, Longest: 10 * time.Second, Forgive: time.Hour}

func TestThrottleOfAnAccount(t *testing.T) {
	t.Parallel()
	options := password.ThrottleOptions{Account: account}

	t.Run("waits twice as long each time, up to a limit", func(t *testing.T) {
		t.Parallel()
		d := newDoor(t, options)
		d.exhausts("alice", "192.0.2.1", 3)
		for _, seconds := range []int{1, 2, 4, 8, 10, 10} {
			wait := time.Duration(seconds) * time.Second
			d.tries("alice", "192.0.2.1", wait)
			d.now = d.now.Add(wait - 1)
			d.tries("alice", "192.0.2.1", 1) // refused attempts add nothing
			d.now = d.now.Add(1)
			d.tries("alice", "192.0.2.1", 0)
		}
	})

	t.Run("counts all addresses together, and no other account", func(t *testing.T) {
		t.Parallel()
		d := newDoor(t, options)
		for i := range 3 {
			d.tries("alice", fmt.Sprintf("192.0.2.%d", i), 0)
		}
		d.tries("alice", "192.0.2.77", time.Second)
		d.tries("bob", "192.0.2.77", 0)
	})

	t.Run("starts anew with a success", func(t *testing.T) {
		t.Parallel()
		d := newDoor(t, options)
		d.exhausts("alice", "192.0.2.1", 3)
		d.now = d.now.Add(time.Second)
		d.tries("alice", "192.0.2.1", 0)
		d.Succeeded("alice", "192.0.2.1")
		d.exhausts("alice", "192.0.2.1", 3)
		d.tries("alice", "192.0.2.1", time.Second)
	})

	t.Run("forgives with time", func(t *testing.T) {
		t.Parallel()
		d := newDoor(t, options)
		d.exhausts("alice", "192.0.2.1", 3)
		d.now = d.now.Add(2 * time.Hour)
		d.exhausts("alice", "192.0.2.1", 2)
		d.tries("alice", "192.0.2.1", time.Second)
	})

	t.Run("is soon over after an attack, however long that was", func(t *testing.T) {
		t.Parallel()
		d := newDoor(t, options)
		d.exhausts("alice", "192.0.2.1", 3)
		for i := range 1000 {
			d.now = d.now.Add(10 * time.Second)
			d.tries("alice", fmt.Sprintf("192.0.2.%d", i%250), 0)
		}
		d.now = d.now.Add(7 * time.Hour)
		d.exhausts("alice", "192.0.2.1", 3)
	})

	t.Run("does not lock its owner out where they have been before", func(t *testing.T) {
		t.Parallel()
		d := newDoor(t, options)
		d.tries("alice", "192.0.2.1", 0)
		d.Succeeded("alice", "192.0.2.1")
		d.exhausts("alice", "203.0.113.9", 3)
		d.tries("alice", "203.0.113.9", time.Second)
		d.tries("alice", "198.51.100.1", time.Second)
		// The owner's address has free attempts of its own, and no more than those.
		d.exhausts("alice", "192.0.2.1", 3)
		d.tries("alice", "192.0.2.1", time.Second)
		// A success there does not help the attacker.
		d.now = d.now.Add(time.Second)
		d.tries("alice", "192.0.2.1", 0)
		d.Succeeded("alice", "192.0.2.1")
		d.tries("alice", "203.0.113.9", 0)
		d.tries("alice", "203.0.113.9", 2*time.Second)
	})

	t.Run("counts attempts that come at once", func(t *testing.T) {
		t.Parallel()
		d := newDoor(t, options)
		var admitted atomic.Int64
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if d.Admit("alice", "192.0.2.1") == nil {
					admitted.Add(1)
				}
			})
		}
		all.Wait()
		if n := admitted.Load(); n != 3 {
			t.Errorf("%d attempts were admitted, want 3", n)
		}
	})
}

func TestThrottleOfAnAddress(t *testing.T) {
	t.Parallel()
	options := password.ThrottleOptions{Address: account}

	t.Run("counts all accounts together", func(t *testing.T) {
		t.Parallel()
		d := newDoor(t, options)
		for i := range 3 {
			d.tries(fmt.Sprintf("user %d", i), "192.0.2.1", 0)
		}
		d.tries("alice", "192.0.2.1", time.Second)
		d.tries("alice", "192.0.2.2", 0)
	})

	t.Run("has a success given back, and no more than that", func(t *testing.T) {
		t.Parallel()
		d := newDoor(t, options)
		for range 20 {
			d.tries("alice", "192.0.2.1", 0)
			d.Succeeded("alice", "192.0.2.1")
		}
		d.exhausts("bob", "192.0.2.1", 3)
		d.now = d.now.Add(time.Second)
		d.tries("alice", "192.0.2.1", 0)
		d.Succeeded("alice", "192.0.2.1")
		d.tries("bob", "192.0.2.1", time.Second)
	})

	t.Run("is a network in IPv6, and IPv4 however it is written", func(t *testing.T) {
		t.Parallel()
		d := newDoor(t, options)
		for i := range 3 {
			d.tries("alice", fmt.Sprintf("2001:db8:0:1::%d", i), 0)
		}
		d.tries("alice", "2001:db8:0:1:ffff::1", time.Second)
		d.tries("bob", "2001:db8:0:2::1", 0)
		d.exhausts("bob", "192.0.2.1", 3)
		d.tries("bob", "::ffff:192.0.2.1", time.Second)
		d.exhausts("carol", "not an address", 3)
		d.tries("carol", "not an address", time.Second)
	})

	t.Run("does not count at the account what it refuses", func(t *testing.T) {
		t.Parallel()
		d := newDoor(t, password.ThrottleOptions{Account: account, Address: account})
		d.exhausts("bob", "192.0.2.1", 3)
		for range 10 {
			d.tries("alice", "192.0.2.1", time.Second)
		}
		d.exhausts("alice", "192.0.2.2", 3)
	})
}

func TestThrottleIsBounded(t *testing.T) {
	t.Parallel()
	d := newDoor(t, password.ThrottleOptions{Account: account, Keys: 10})
	d.exhausts("alice", "192.0.2.1", 3)
	for i := range 9 {
		d.tries(fmt.Sprintf("user %d", i), "192.0.2.2", 0)
	}
	d.tries("alice", "192.0.2.3", time.Second)
	for i := range 10 {
		d.tries(fmt.Sprintf("user %d", i), "192.0.2.2", 0)
	}
	d.tries("alice", "192.0.2.3", 0)
}

func TestThrottleHasDefaultsAndMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	d := newDoor(t, password.ThrottleOptions{Registerer: registry})
	d.exhausts("alice", "192.0.2.1", 5)
	d.tries("alice", "192.0.2.1", time.Second)
	for i := range 44 {
		d.tries(fmt.Sprintf("user %d", i), "192.0.2.1", 0)
	}
	d.tries("bob", "192.0.2.1", time.Second)
	got := gathered(t, registry)
	for _, by := range []string{"account", "address"} {
		if n := got["g4fagent_login_attempts_throttled_total "+by]; n != 1 {
			t.Errorf("%v refusals are counted by %s, want 1", n, by)
		}
	}
}
