package provider

import (
	"math/rand/v2"
	"time"
)

// Bounds of Backoff.
const (
	// MaxAttempts is how often a request is made in all.
	MaxAttempts = 5
	// MaxRetryWait is the longest wait that a provider is granted; one that asks
	// for more is not asked again.
	MaxRetryWait = 2 * time.Minute

	firstWait = 500 * time.Millisecond
	maxWait   = 16 * time.Second
)

// Backoff says whether a request that failed with err should be made again, and
// how long to wait before. Attempt counts the requests made so far, from 1. It
// holds only before the first chunk with text: an answer that broke off later has
// been paid for and seen.
//
// Waits double from half a second, each drawn between its half and its whole so
// that callers who failed together do not come back together, and are never
// shorter than what the provider asked for.
func Backoff(attempt int, err *Error) (time.Duration, bool) {
	if err == nil || !err.Retryable() || attempt >= MaxAttempts || err.RetryAfter > MaxRetryWait {
		return 0, false
	}
	wait := min(firstWait<<max(0, attempt-1), maxWait)
	wait = wait/2 + rand.N(wait/2+1)
	if err.RetryAfter > 0 {
		wait = err.RetryAfter + rand.N(wait)
	}
	return wait, true
}
