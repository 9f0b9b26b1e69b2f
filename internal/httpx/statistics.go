package httpx

import (
	"math"
	"math/bits"
	"sync"
	"time"
)

// The buckets of a second are log-linear, as those of an HDR histogram: below
// 16 µs one a microsecond, above it 16 an octave, so that a bucket is at most
// 1/16 wider than its lower edge. The last one takes everything from 67 s up.
const (
	statisticsSpan = 3600 // seconds that are remembered
	bucketsBits    = 4
	bucketsOctave  = 1 << bucketsBits
	bucketsOctaves = 22
	buckets        = (bucketsOctaves + 1) * bucketsOctave
)

// Statistics counts requests and their durations over a sliding window of up to
// an hour. No request is sampled or dropped, and the memory is bounded: one
// histogram of 1.5 kB for each second that had a request. Its methods may be
// called from several goroutines.
type Statistics struct {
	now     func() time.Time
	mu      sync.Mutex
	last    int64 // the only second that still changes
	seconds [statisticsSpan + 1]*second
}

// second is the histogram of one second of the clock; low and high bound the
// buckets that have anything.
type second struct {
	unix      int64
	total     uint32
	low, high int
	counts    [buckets]uint32
}

// NewStatistics starts counting by the given clock.
func NewStatistics(now func() time.Time) *Statistics { return &Statistics{now: now} }

// Observe counts a request that has just ended after d.
func (s *Statistics) Observe(d time.Duration) {
	bucket := bucketOf(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, s.now().Unix()) // a clock that is set back changes no past
	slot := &s.seconds[s.last%int64(len(s.seconds))]
	if *slot == nil || (*slot).unix != s.last {
		*slot = &second{unix: s.last, low: bucket, high: bucket}
	}
	current := *slot
	current.counts[bucket]++
	current.total++
	current.low, current.high = min(current.low, bucket), max(current.high, bucket)
}

// Stats is the number of requests a second and the 95th percentile of their
// durations in milliseconds, both over the window that ends now; the window is
// clamped to 1 s … 1 h. The oldest second counts with the share of it that lies
// inside the window. Without requests both are 0.
func (s *Statistics) Stats(window time.Duration) (rps, p95ms float64) {
	span := int64(min(max(window, time.Second), statisticsSpan*time.Second) / time.Second)
	now := s.now()
	oldest := now.Unix() - span
	inside := 1 - float64(now.Nanosecond())/float64(time.Second)

	var sum [buckets]float64
	var total float64
	for _, each := range s.since(oldest) {
		share := 1.0
		if each.unix == oldest {
			share = inside
		}
		total += share * float64(each.total)
		for i := each.low; i <= each.high; i++ {
			sum[i] += share * float64(each.counts[i])
		}
	}
	return total / float64(span), quantile(&sum, total, 0.95)
}

// since are the seconds from oldest on that had requests. Those that are over
// never change, so only their addresses are taken while requests wait.
func (s *Statistics) since(oldest int64) []*second {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*second
	for _, each := range s.seconds {
		switch {
		case each == nil || each.unix < oldest:
		case each.unix == s.last:
			current := *each
			all = append(all, &current)
		default:
			all = append(all, each)
		}
	}
	return all
}

// quantile interpolates inside the bucket that holds the q-th part of total.
func quantile(sum *[buckets]float64, total, q float64) float64 {
	rank, below := q*total, 0.0
	for i, n := range sum {
		if n > 0 && below+n >= rank {
			low, high := edges(i)
			return (low + (high-low)*(rank-below)/n) / 1000
		}
		below += n
	}
	return 0
}

// bucketOf is the index of the bucket that counts d.
func bucketOf(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < bucketsOctave {
		return int(us)
	}
	shift := bits.Len64(us) - bucketsBits - 1
	return min(shift*bucketsOctave+int(us>>shift), buckets-1)
}

// edges are the microseconds between which bucket i counts.
func edges(i int) (low, high float64) {
	if i < bucketsOctave {
		return float64(i), float64(i + 1)
	}
	shift := i/bucketsOctave - 1
	width := math.Ldexp(1, shift)
	low = float64(i-shift*bucketsOctave) * width
	return low, low + width
}
