package postgres

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff doubles a pause from min to max. Half of each pause is random, so
// that nodes which lost the same server don't come back in step.
type backoff struct {
	min, max time.Duration
	next     time.Duration
}

// pause waits and reports whether ctx still lives.
func (b *backoff) pause(ctx context.Context) bool {
	b.next = min(max(b.next*2, b.min), b.max)
	timer := time.NewTimer(b.next/2 + rand.N(b.next/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (b *backoff) reset() { b.next = 0 }
