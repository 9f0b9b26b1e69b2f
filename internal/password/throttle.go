package password

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/internal/fault"
)

var errThrottled = fault.New(fault.RateLimited, "rate_limited", "Too many attempts to log in. Try again later.")

// Limit bounds the attempts under one key. Burst of them are free; each further
// one must wait twice as long as the one before it, from First up to Longest.
// One attempt is forgiven per Forgive.
type Limit struct {
	Burst   int
	First   time.Duration
	Longest time.Duration
	Forgive time.Duration
}

// An account under attack admits some 110 guesses in the first day and 95 in each
// that follows; NIST SP 800-63B-4 (3.2.2) allows 100 failures in a row. Behind one
// address there may be a whole office.
var (
	perAccount = Limit{Burst: 5, First: time.Second, Longest: 15 * time.Minute, Forgive: time.Hour}
	perAddress = Limit{Burst: 50, First: time.Second, Longest: 5 * time.Minute, Forgive: 30 * time.Second}
)

// ThrottleOptions are what a throttle works with. Zero fields have defaults.
type ThrottleOptions struct {
	// Account defaults to 5 free attempts, then 1 s doubling up to 15 min, one
	// forgiven an hour; Address to 50, 1 s, 5 min and one in 30 s.
	Account, Address Limit
	// Keys is how many accounts, and how many addresses, are remembered: 65,536
	// each. Past it the one that was tried least recently is forgotten.
	Keys int
	// Now is the clock: time.Now when nil.
	Now func() time.Time
	// Registerer takes the metrics; nil keeps them to itself.
	Registerer prometheus.Registerer
}

// Throttle slows down guessing, per account and per address, on one node: with
// several nodes each counts for itself. Its methods may be called from several
// goroutines.
//
// Anyone can fail on purpose and so keep an account waiting. An address from
// which its owner has logged in counts apart from all others, so that the owner
// is not locked out there.
type Throttle struct {
	now              func() time.Time
	account, address Limit
	refused          *prometheus.CounterVec

	mu        sync.Mutex
	accounts  *simplelru.LRU[accountKey, bucket]
	addresses *simplelru.LRU[string, bucket]
	trusted   *simplelru.LRU[accountKey, struct{}]
}

// accountKey is an account, and the address when the account's owner is known to
// log in from there.
type accountKey struct{ account, address string }

// NewThrottle makes a throttle that has seen nothing.
func NewThrottle(o ThrottleOptions) *Throttle {
	if o.Account == (Limit{}) {
		o.Account = perAccount
	}
	if o.Address == (Limit{}) {
		o.Address = perAddress
	}
	if o.Keys <= 0 {
		o.Keys = 1 << 16
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	t := &Throttle{
		now: o.Now, account: o.Account, address: o.Address,
		accounts: newLRU[accountKey, bucket](o.Keys), addresses: newLRU[string, bucket](o.Keys), trusted: newLRU[accountKey, struct{}](o.Keys),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "g4fagent_login_attempts_throttled_total", Help: "Attempts to log in that were refused as too many, by what they were too many for.",
		}, []string{"by"}),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(t.refused)
	}
	return t
}

func newLRU[K comparable, V any](size int) *simplelru.LRU[K, V] {
	lru, err := simplelru.NewLRU[K, V](size, nil)
	if err != nil {
		panic("password: " + err.Error()) // only for a size below one
	}
	return lru
}

// Admit counts one attempt to log in to account from address, before the password
// is looked at, or refuses it with a RateLimited fault that says how long to wait.
// A refused attempt does not make the wait longer. Account is a keyed hash of the
// e-mail address, or of the API key's id: the throttle keeps what it is given.
// IPv6 addresses count by their /64, which is what one customer has.
func (t *Throttle) Admit(account, address string) error {
	address = network(address)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()

	from, _ := t.addresses.Get(address)
	if wait := from.wait(t.address, now); wait > 0 {
		t.refused.WithLabelValues("address").Inc()
		return errThrottled.After(wait)
	}
	t.addresses.Add(address, from.take(t.address, now))

	key := t.keyOf(account, address)
	of, _ := t.accounts.Get(key)
	if wait := of.wait(t.account, now); wait > 0 {
		t.refused.WithLabelValues("account").Inc()
		return errThrottled.After(wait)
	}
	t.accounts.Add(key, of.take(t.account, now))
	return nil
}

// Succeeded forgets the attempts on the account, and the last one of the address,
// which is from now on one that its owner logs in from.
func (t *Throttle) Succeeded(account, address string) {
	address = network(address)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accounts.Remove(t.keyOf(account, address))
	t.trusted.Add(accountKey{account, address}, struct{}{})
	if from, ok := t.addresses.Peek(address); ok {
		t.addresses.Add(address, from.giveBack())
	}
}

// keyOf is the account's counter for attempts from address.
func (t *Throttle) keyOf(account, address string) accountKey {
	if key := (accountKey{account, address}); t.trusted.Contains(key) {
		return key
	}
	return accountKey{account: account}
}

// network is the part of an address that one person can hardly leave.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		prefix, _ := ip.Prefix(64) // 64 bits are in every IPv6 address
		return prefix.String()
	}
	return ip.String()
}

// bucket holds the attempts that are not yet forgiven. Its zero value is empty.
type bucket struct {
	attempts float64
	last     time.Time
}

// wait is how long after now the next attempt may be made; at most 0 is now.
func (b bucket) wait(l Limit, now time.Time) time.Duration {
	return b.last.Add(l.pause(b.attempts)).Sub(now)
}

// take counts an attempt. More than make the longest pause are not counted: an
// attack, however long, is over soon after it ends.
func (b bucket) take(l Limit, now time.Time) bucket {
	left := max(0, b.attempts-float64(now.Sub(b.last))/float64(l.Forgive))
	return bucket{attempts: min(left+1, l.most()), last: now}
}

func (b bucket) giveBack() bucket {
	b.attempts = max(0, b.attempts-1)
	return b
}

// pause is how long the attempt after so many must wait. An attempt is forgiven
// as a whole.
func (l Limit) pause(attempts float64) time.Duration {
	over := math.Ceil(attempts) - float64(l.Burst)
	if over < 0 {
		return 0
	}
	return time.Duration(min(float64(l.First)*math.Exp2(over), float64(l.Longest)))
}

// most is the number of attempts that makes the longest pause.
func (l Limit) most() float64 {
	return float64(l.Burst) + math.Ceil(math.Log2(float64(l.Longest)/float64(l.First)))
}
