package live_test

import (
	"context"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/readapi/live"
)

func BenchmarkNewFrame(b *testing.B) {
	for name, e := range map[string]eventschema.Event{
		"token":   output("run_1", "word "),
		"message": message("A message of some length, as people write them to an agent: please look at the tests of the parser."),
	} {
		b.Run(name, func(b *testing.B) {
			r := eventlog.Record{Stream: journal, Revision: 12345, Meta: eventlog.Meta{At: time.Now().UTC()}, Stored: stored(b, e)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := live.NewFrame(r, eventschematest.Sealer{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// listener is a client that only takes the time of each flush.
type listener struct {
	header  http.Header
	flushed func(at time.Time)
}

func (l *listener) Header() http.Header         { return l.header }
func (l *listener) WriteHeader(int)             {}
func (l *listener) Write(b []byte) (int, error) { return len(b), nil }
func (l *listener) Flush()                      { l.flushed(time.Now()) }

// crowd are many streams of one journal, and when each was told of the last event.
type crowd struct {
	mu   sync.Mutex
	told []time.Time
	left int
	all  chan struct{}
}

func (c *crowd) tell(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, at)
	if c.left--; c.left == 0 {
		close(c.all)
	}
}

func (c *crowd) expect(n int) (all <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told, c.left, c.all = c.told[:0], n, make(chan struct{})
	return c.all
}

// BenchmarkFanOut measures the time from before an append to the log until each
// of a thousand streams was told, and what a stream costs in memory.
func BenchmarkFanOut(b *testing.B) {
	const streams = 1000
	n := newNode(b)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var c crowd
	var serving sync.WaitGroup
	before := memory()
	all := c.expect(streams) // each says "retry" first
	for range streams {
		serving.Go(func() {
			s := live.Stream{Hub: n.hub, Journal: journal, User: "u", Check: allowed, Stopping: context.Background()}
			if err := s.Serve(ctx, &listener{header: http.Header{}, flushed: c.tell}); err != nil {
				b.Error(err)
			}
		})
	}
	<-all
	perStream := float64(memory()-before) / streams

	var latencies []time.Duration
	for b.Loop() {
		all := c.expect(streams)
		start := time.Now()
		n.append(journal, output("run_1", "word "))
		<-all
		for _, at := range c.told {
			latencies = append(latencies, at.Sub(start))
		}
	}
	slices.Sort(latencies)
	b.ReportMetric(perStream, "B/stream")
	b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds()), "p99-µs")
	cancel()
	serving.Wait()
}

// memory is what is in use, stacks included.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkWatch is what a journal's event costs the feed, which everybody else
// waits for.
func BenchmarkWatch(b *testing.B) {
	n := newBook(b)
	hub := hubOn(n, eventschematest.Sealer{}, many)
	c := follow(b.Context(), live.Stream{Hub: hub, User: "u"})
	c.until(b, "the stream has begun", func() bool { return c.text() != "" })
	c.stall(true)
	r := n.write(journal, output("run_1", "word "))[0]
	for b.Loop() {
		hub.Watch(r)
		r.Revision++
	}
	c.leave()
	if err := c.over(b); err != nil {
		b.Error(err)
	}
}
