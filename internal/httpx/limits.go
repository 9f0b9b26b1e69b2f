package httpx

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits bound what requests may take together, and each for itself. A zero
// field has the default named beside it.
type Limits struct {
	// Requests is how many operations may be in flight, streams aside: 1024.
	Requests int
	// Commands is how many of those may be POST, PUT, PATCH or DELETE: 256.
	Commands int
	// Streams is how many streams may be open: 4096.
	Streams int
	// BodyBytes is how much of JSON bodies may be held at once: 256 MiB.
	BodyBytes int64
	// Operation is how long an operation may take once its body is there: 30 s.
	// Streams take as long as they like.
	Operation time.Duration
	// Read is how long the next part of a body may take to arrive, and Write how
	// long the client may take to read the next part of the answer: 30 s each.
	Read, Write time.Duration
}

func (l Limits) withDefaults() Limits {
	orDefault(&l.Requests, 1024)
	orDefault(&l.Commands, 256)
	orDefault(&l.Streams, 4096)
	orDefault(&l.BodyBytes, 256<<20)
	orDefault(&l.Operation, 30*time.Second)
	orDefault(&l.Read, 30*time.Second)
	orDefault(&l.Write, 30*time.Second)
	return l
}

func orDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// gauge counts what is in use of something that is bounded.
type gauge struct {
	name string
	max  int64
	used atomic.Int64
	full prometheus.Counter
}

// take takes n, or nothing when that would pass the bound.
func (g *gauge) take(n int64) error {
	if g.used.Add(n) > g.max {
		g.used.Add(-n)
		g.full.Inc()
		return errBusy
	}
	return nil
}

func (g *gauge) give(n int64) { g.used.Add(-n) }

// admit takes the operation's place among those in flight; leave gives it back.
// Bodies are read before, within their own bound: a slow sender holds no place.
func (e *edge) admit(o *operation) (leave func(), err error) {
	for i, g := range o.places {
		if err := g.take(1); err != nil {
			release(o.places[:i])
			return nil, err
		}
	}
	return func() { release(o.places) }, nil
}

func release(places []*gauge) {
	for _, g := range places {
		g.give(1)
	}
}
