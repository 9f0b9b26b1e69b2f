package engine

import (
	"math"
	"sync"
	"sync/atomic"
)

// progress is how far each subscription has come, for those who watch over the
// slowest of them.
type progress struct {
	mu        sync.Mutex
	followers map[*atomic.Uint64]struct{}
}

// waiting stands for a subscription that has handed over all there is: it is not
// behind, however far the log grows without its being concerned.
const waiting = math.MaxUint64

func newProgress() *progress { return &progress{followers: make(map[*atomic.Uint64]struct{})} }

// begin adds a subscription that has handed over everything up to position.
func (p *progress) begin(position uint64) *atomic.Uint64 {
	done := &atomic.Uint64{}
	done.Store(position)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.followers[done] = struct{}{}
	return done
}

func (p *progress) end(done *atomic.Uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.followers, done)
}

// Lag is how many bytes of the log lie between its head and what the slowest
// subscription has handed over; zero when none is behind.
func (e *Engine) Lag() uint64 {
	head, lag := e.log.Head(), uint64(0)
	e.progress.mu.Lock()
	defer e.progress.mu.Unlock()
	for done := range e.progress.followers {
		// Live subscriptions may have passed the head that was read above.
		if at := done.Load(); at < head {
			lag = max(lag, head-at)
		}
	}
	return lag
}
