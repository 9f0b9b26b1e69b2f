package httpx

import (
	"math"
	"sync"
	"testing"
	"time"
)

func TestStatistics(t *testing.T) {
	t.Parallel()

	t.Run("count every request, whatever the rate", func(t *testing.T) {
		t.Parallel()
		clock := newClock()
		s := NewStatistics(clock.now)
		for range 10 {
			for range 20_000 {
				s.Observe(3 * time.Millisecond)
			}
			clock.forward(time.Second)
		}
		rps, p95 := s.Stats(10 * time.Second)
		near(t, "rps", rps, 20_000, 0.001)
		near(t, "p95", p95, 3, 1.0/16)
	})

	t.Run("forget what the window has left behind", func(t *testing.T) {
		t.Parallel()
		clock := newClock()
		s := NewStatistics(clock.now)
		for range 100 {
			s.Observe(time.Second)
		}
		clock.forward(30 * time.Second)
		for range 50 {
			s.Observe(time.Millisecond)
		}
		rps, p95 := s.Stats(10 * time.Second)
		near(t, "rps over 10 s", rps, 5, 0.001)
		near(t, "p95 over 10 s", p95, 1, 1.0/16)
		rps, p95 = s.Stats(time.Minute)
		near(t, "rps over 60 s", rps, 2.5, 0.001)
		near(t, "p95 over 60 s", p95, 1000, 1.0/16)
	})

	t.Run("slide, not jump: half of the oldest second counts half", func(t *testing.T) {
		t.Parallel()
		clock := newClock()
		s := NewStatistics(clock.now)
		for range 100 {
			s.Observe(time.Millisecond)
		}
		clock.forward(1500 * time.Millisecond)
		rps, _ := s.Stats(time.Second)
		near(t, "rps", rps, 50, 0.001)
	})

	t.Run("clamp the window to a second and to an hour", func(t *testing.T) {
		t.Parallel()
		clock := newClock()
		s := NewStatistics(clock.now)
		s.Observe(time.Millisecond)
		rps, _ := s.Stats(-time.Second)
		near(t, "rps of a negative window", rps, 1, 0.001)
		clock.forward(time.Hour - time.Second)
		rps, _ = s.Stats(100 * time.Hour)
		near(t, "rps of a long window", rps, 1.0/3600, 0.001)
		clock.forward(2 * time.Second)
		if rps, p95 := s.Stats(100 * time.Hour); rps != 0 || p95 != 0 {
			t.Errorf("an hour later: rps %v, p95 %v, want 0, 0", rps, p95)
		}
	})

	t.Run("put every duration between the edges of its bucket", func(t *testing.T) {
		t.Parallel()
		for us := int64(0); us < 70_000_000; us += 1 + us/97 {
			i := bucketOf(time.Duration(us) * time.Microsecond)
			low, high := edges(i)
			if float64(us) < low || (float64(us) >= high && i < buckets-1) {
				t.Fatalf("%d µs is in bucket %d: %v to %v", us, i, low, high)
			}
		}
		if i := bucketOf(-time.Second); i != 0 {
			t.Errorf("a clock that went back is in bucket %d", i)
		}
		if i := bucketOf(math.MaxInt64); i != buckets-1 {
			t.Errorf("for ever is in bucket %d", i)
		}
	})

	t.Run("survive a clock that is set back", func(t *testing.T) {
		t.Parallel()
		clock := newClock()
		s := NewStatistics(clock.now)
		s.Observe(time.Millisecond)
		clock.forward(-time.Minute)
		s.Observe(time.Millisecond)
		clock.forward(time.Minute)
		rps, _ := s.Stats(time.Second)
		near(t, "rps", rps, 2, 0)
	})

	t.Run("lose nothing to concurrency", func(t *testing.T) {
		t.Parallel()
		s := NewStatistics(newClock().now)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 1000 {
					s.Observe(time.Millisecond)
				}
			})
		}
		for range 100 {
			s.Stats(time.Hour)
		}
		all.Wait()
		rps, _ := s.Stats(time.Second)
		near(t, "rps", rps, 8000, 0)
	})
}

// clock is a clock that stands still until it is moved.
type clock struct{ at time.Time }

func newClock() *clock { return &clock{at: time.Unix(1_800_000_000, 0)} }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) forward(d time.Duration) { c.at = c.at.Add(d) }

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance*want {
		t.Errorf("%s is %v, want %v ± %v %%", what, got, want, 100*tolerance)
	}
}

func BenchmarkStatistics(b *testing.B) {
	clock := newClock()
	s := NewStatistics(clock.now)
	for range statisticsSpan {
		for i := range 50 {
			s.Observe(time.Duration(i*i) * 100 * time.Microsecond)
		}
		clock.forward(time.Second)
	}
	b.Run("Observe", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Observe(3 * time.Millisecond)
		}
	})
	b.Run("Stats of an hour", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Stats(time.Hour)
		}
	})
}
