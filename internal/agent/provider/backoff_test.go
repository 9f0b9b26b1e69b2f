package provider_test

import (
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/agent/provider"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	busy := &provider.Error{Kind: provider.KindServer}
	asked := func(d time.Duration) *provider.Error {
		return &provider.Error{Kind: provider.KindRateLimited, RetryAfter: d}
	}
	tests := []struct {
		name        string
		attempt     int
		err         *provider.Error
		least, most time.Duration
		again       bool
	}{
		{"the first failure", 1, busy, 250 * time.Millisecond, 500 * time.Millisecond, true},
		{"the second", 2, busy, 500 * time.Millisecond, time.Second, true},
		{"the fourth", 4, busy, 2 * time.Second, 4 * time.Second, true},
		{"the fifth is the last", 5, busy, 0, 0, false},
		{"a wait that was asked for", 1, asked(10 * time.Second), 10 * time.Second, 10*time.Second + 500*time.Millisecond, true},
		{"the longest wait granted", 1, asked(provider.MaxRetryWait), provider.MaxRetryWait, provider.MaxRetryWait + 500*time.Millisecond, true},
		{"a longer one", 1, asked(provider.MaxRetryWait + 1), 0, 0, false},
		{"a refusal", 1, &provider.Error{Kind: provider.KindInvalid}, 0, 0, false},
		{"a cancellation", 1, &provider.Error{Kind: provider.KindCanceled}, 0, 0, false},
		{"a timeout", 1, &provider.Error{Kind: provider.KindTimeout}, 250 * time.Millisecond, 500 * time.Millisecond, true},
		{"no failure", 1, nil, 0, 0, false},
		{"an attempt before the first", -3, busy, 250 * time.Millisecond, 500 * time.Millisecond, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			seen := map[time.Duration]bool{}
			for range 50 {
				wait, again := provider.Backoff(tt.attempt, tt.err)
				if again != tt.again || wait < tt.least || wait > tt.most {
					t.Fatalf("got %s, %v, want %s to %s, %v", wait, again, tt.least, tt.most, tt.again)
				}
				seen[wait] = true
			}
			if tt.again && len(seen) < 2 {
				t.Error("the waits are all the same")
			}
		})
	}
}
