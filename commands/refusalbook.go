package commands

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"github.com/g4fagent/g4fagent/eventschema"
)

// Refusals are recorded one by one as long as they are few: an attacker must
// neither fill the log nor hide. What is beyond the bounds is counted, and the
// exact counts are recorded every summaryEvery.
const (
	perSource      = 10  // a second, for one principal or one address
	perSourceBurst = 20  // at once
	anonymousRate  = 100 // a second, for all addresses together
	anonymousBurst = 200
	sourcesKnown   = 10_000
	summaryKeys    = 1_000
	// elsewhere counts the addresses that a summary has no room to name.
	elsewhere = "other"
)

// refusalBook says which refusals are recorded one by one, and counts the rest.
// It is safe for concurrent use.
type refusalBook struct {
	mu        sync.Mutex
	sources   *simplelru.LRU[string, *rate.Limiter]
	anonymous *rate.Limiter
	from      time.Time
	byAddress map[string]int // nil when nothing was counted
	byCode    map[string]int
}

func newRefusalBook() *refusalBook {
	sources, err := simplelru.NewLRU[string, *rate.Limiter](sourcesKnown, nil)
	if err != nil {
		panic("commands: " + err.Error()) // only for a size below one
	}
	return &refusalBook{sources: sources, anonymous: rate.NewLimiter(anonymousRate, anonymousBurst)}
}

// admit reports whether a refusal gets a record of its own; otherwise it is
// counted.
func (b *refusalBook) admit(r refusal) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	source := "user " + r.who.UserID
	if r.who.Anonymous() {
		source = "address " + r.req.IP
	}
	if b.limiter(source).AllowN(r.at, 1) && (!r.who.Anonymous() || b.anonymous.AllowN(r.at, 1)) {
		return true
	}
	b.add(r.req.IP, r.code, 1, r.at)
	return false
}

func (b *refusalBook) limiter(source string) *rate.Limiter {
	l, ok := b.sources.Get(source)
	if !ok {
		l = rate.NewLimiter(perSource, perSourceBurst)
		b.sources.Add(source, l)
	}
	return l
}

// count counts refusals that could not be recorded.
func (b *refusalBook) count(refusals ...refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range refusals {
		b.add(r.req.IP, r.code, 1, r.at)
	}
}

func (b *refusalBook) add(address, code string, n int, at time.Time) {
	b.open(at)
	b.addAddress(address, n)
	b.byCode[code] += n
}

func (b *refusalBook) open(at time.Time) {
	if b.byAddress == nil {
		b.from, b.byAddress, b.byCode = at, map[string]int{}, map[string]int{}
	}
	if at.Before(b.from) {
		b.from = at
	}
}

func (b *refusalBook) addAddress(address string, n int) {
	if _, known := b.byAddress[address]; !known && len(b.byAddress) >= summaryKeys {
		address = elsewhere
	}
	b.byAddress[address] += n
}

// close ends a summary's span; it reports false when there was nothing to count.
func (b *refusalBook) close(now time.Time) (eventschema.RefusalsSummarized, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byAddress == nil {
		return eventschema.RefusalsSummarized{}, false
	}
	e := eventschema.RefusalsSummarized{From: inLog(b.from), To: inLog(now), ByAddress: b.byAddress, ByCode: b.byCode}
	b.byAddress, b.byCode = nil, nil
	return e, true
}

// reopen takes a summary back that could not be recorded.
func (b *refusalBook) reopen(e eventschema.RefusalsSummarized) {
	if len(e.ByCode) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open(e.From)
	for address, n := range e.ByAddress {
		b.addAddress(address, n)
	}
	for code, n := range e.ByCode {
		b.byCode[code] += n
	}
}
