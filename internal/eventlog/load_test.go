package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

const (
	appenders   = 8
	subscribers = 3
	// recovery is what a server's return may take until everything works again.
	recovery = 5 * time.Second
	// truth is how late Up may tell that the server went silent.
	truth = 5 * time.Second
)

// load is a log under appenders, each with a stream of its own, and subscribers.
// All of them check what they are told as it is told.
type load struct {
	t         *testing.T
	log       *eventlog.Log
	label     string
	stop      context.CancelFunc
	writing   context.Context //nolint:containedctx // ends the appenders before the subscribers
	running   sync.WaitGroup
	following sync.WaitGroup
	moved     chan struct{} // somebody has news

	appenders   []*appender
	subscribers []*subscriber
	failures    atomic.Int64
}

// appender notes what it was told of each event.
type appender struct {
	stream string

	mu           sync.Mutex
	acknowledged []uuid.UUID // by revision
	given        []uuid.UUID // said not to be there
	unknown      int
	last         eventlog.Position
}

// subscriber is how far one subscriber is.
type subscriber struct {
	mu   sync.Mutex
	last eventlog.Position
	next map[string]int64
	seen int
	lost int
}

// newLoad opens a log with every goroutine of it known by a label.
func newLoad(t *testing.T, o eventlog.Options) *load {
	t.Helper()
	l := &load{t: t, label: uuid.NewString(), moved: make(chan struct{}, 1)}
	var err error
	pprof.Do(t.Context(), pprof.Labels("log", l.label), func(ctx context.Context) {
		l.log, err = eventlog.Open(ctx, o)
	})
	if err != nil {
		t.Fatal(err)
	}
	ready, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := l.log.Ready(ready); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *load) start() {
	var following context.Context
	l.writing, l.stop = context.WithCancel(l.t.Context())
	following = l.t.Context()
	pprof.Do(following, pprof.Labels("log", l.label), func(ctx context.Context) {
		for i := range appenders {
			a := &appender{stream: fmt.Sprintf("load-%d", i)}
			l.appenders = append(l.appenders, a)
			l.running.Go(func() { l.append(a) })
		}
		ctx, stop := context.WithCancel(ctx)
		l.t.Cleanup(stop)
		for range subscribers {
			s := &subscriber{next: map[string]int64{}}
			l.subscribers = append(l.subscribers, s)
			l.following.Go(func() { l.follow(ctx, s) })
		}
		ended := l.stop
		l.stop = func() {
			ended()
			l.running.Wait()
			for i, s := range l.subscribers {
				l.wait(fmt.Sprintf("subscriber %d has seen everything", i), patience, func() bool { return !s.position().Less(l.head()) })
			}
			stop()
			l.following.Wait()
		}
	})
}

func (l *load) news() {
	select {
	case l.moved <- struct{}{}:
	default:
	}
}

// append appends one to three events at a time for as long as it is to. Events of
// which it is said that they are not there are given up; of the others it finds
// out.
func (l *load) append(a *appender) {
	batch := events(1)
	for n := 0; l.writing.Err() == nil || a.pending(); n++ {
		receipt, err := l.log.Append(l.writing, a.stream, a.revision(), batch...)
		switch {
		case err == nil:
			a.accept(l.t, receipt, batch)
		case errors.Is(err, eventlog.ErrUnknown), errors.Is(err, eventlog.ErrUnavailable) && a.pending():
			a.note(func() { a.unknown++ })
			l.failures.Add(1)
			continue // the same events again
		case errors.Is(err, eventlog.ErrUnavailable):
			a.note(func() {
				for _, e := range batch {
					a.given = append(a.given, e.ID)
				}
			})
			l.failures.Add(1)
		default:
			l.t.Errorf("%s: %v", a.stream, err)
			return
		}
		batch = events(1 + n%3)
		l.news()
	}
}

func (a *appender) note(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// pending reports whether an append's outcome is still to be found out.
func (a *appender) pending() (p bool) {
	a.note(func() { p = a.unknown > 0 })
	return p
}

func (a *appender) revision() (r int64) {
	a.note(func() { r = int64(len(a.acknowledged)) - 1 })
	return r
}

func (a *appender) accept(t *testing.T, receipt eventlog.Receipt, batch []eventlog.Event) {
	t.Helper()
	a.note(func() {
		for _, e := range batch {
			a.acknowledged = append(a.acknowledged, e.ID)
		}
		if receipt.Revision != int64(len(a.acknowledged))-1 || !a.last.Less(receipt.Position) {
			t.Errorf("%s: %d events end at revision %d, position %s after %s", a.stream, len(a.acknowledged), receipt.Revision, receipt.Position, a.last)
		}
		a.last, a.unknown = receipt.Position, 0
	})
}

func (l *load) follow(ctx context.Context, s *subscriber) {
	err := l.log.Follow(ctx, eventlog.Position{}, func(item eventlog.Item) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		defer l.news()
		if item.Lost {
			s.lost++
		}
		if item.Lost || item.CaughtUp {
			return nil
		}
		r := item.Record
		if !s.last.Less(r.Position) || r.Revision != s.next[r.Stream] {
			l.t.Errorf("%s at revision %d, position %s: expected %d after %s", r.Stream, r.Revision, r.Position, s.next[r.Stream], s.last)
		}
		s.last, s.next[r.Stream] = r.Position, r.Revision+1
		s.seen++
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		l.t.Errorf("a subscriber ended: %v", err)
	}
}

func (s *subscriber) position() eventlog.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// acknowledged is how many events were.
func (l *load) acknowledged() (n int) {
	for _, a := range l.appenders {
		a.note(func() { n += len(a.acknowledged) })
	}
	return n
}

// head is the last position that an appender was told.
func (l *load) head() (p eventlog.Position) {
	for _, a := range l.appenders {
		a.note(func() {
			if p.Less(a.last) {
				p = a.last
			}
		})
	}
	return p
}

// wait waits until a condition holds, and returns how long that took.
func (l *load) wait(what string, bound time.Duration, holds func() bool) time.Duration {
	l.t.Helper()
	since := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Since(since) > bound {
			l.t.Fatalf("waited %s in vain: %s\n%s", bound, what, l.goroutines())
		}
		select {
		case <-l.moved:
		case <-tick.C:
		}
	}
	return time.Since(since)
}

// works waits until every appender and every subscriber has gone on.
func (l *load) works(bound time.Duration) time.Duration {
	l.t.Helper()
	from := make([]int64, len(l.appenders))
	for i, a := range l.appenders {
		from[i] = a.revision()
	}
	took := l.wait("every appender goes on", bound, func() bool {
		for i, a := range l.appenders {
			if a.revision() == from[i] {
				return false
			}
		}
		return true
	})
	head := l.head()
	return took + l.wait("every subscriber goes on", bound-min(took, bound), func() bool {
		return !slices.ContainsFunc(l.subscribers, func(s *subscriber) bool { return s.position().Less(head) })
	})
}

// verify compares what the log holds with what appenders were told, and closes it.
func (l *load) verify() {
	l.t.Helper()
	l.stop()
	there := map[uuid.UUID]bool{}
	for _, a := range l.appenders {
		var all []uuid.UUID
		for more := true; more; {
			page, err := l.log.Read(l.t.Context(), a.stream, int64(len(all)), 500)
			if err != nil {
				l.t.Fatal(err)
			}
			for _, r := range page {
				if r.Revision != int64(len(all)) || there[r.ID] {
					l.t.Fatalf("%s has %s at %d as event %d", a.stream, r.ID, r.Revision, len(all))
				}
				there[r.ID] = true
				all = append(all, r.ID)
			}
			more = len(page) == 500
		}
		if !slices.Equal(all, a.acknowledged) {
			l.t.Errorf("%s has %d events, %d were acknowledged", a.stream, len(all), len(a.acknowledged))
		}
		for _, id := range a.given {
			if there[id] {
				l.t.Errorf("%s has an event that it was said not to have", a.stream)
			}
		}
	}
	for i, s := range l.subscribers {
		if s.seen != len(there) {
			l.t.Errorf("subscriber %d saw %d events of %d", i, s.seen, len(there))
		}
	}
	l.settle()
	l.close()
}

// atRest is what a log without calls keeps running: its own goroutine, the
// client's, and those of the client's connection.
const atRest = 12

// settle waits until nothing is left of all the calls.
func (l *load) settle() {
	l.t.Helper()
	l.wait("the calls leave no goroutine behind", patience, func() bool { return l.count() <= atRest })
}

// close closes the log, after which nothing of it runs.
func (l *load) close() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.t.Context()), patience)
	defer cancel()
	if err := l.log.Close(ctx); err != nil {
		l.t.Error(err)
	}
	l.wait("a closed log leaves no goroutine behind", patience, func() bool { return l.count() == 0 })
}

// count is how many goroutines the log and its load have.
func (l *load) count() (n int) {
	for entry := range strings.SplitSeq(l.goroutines(), "\n\n") {
		var of int
		if _, err := fmt.Sscanf(entry, "%d @", &of); err == nil {
			n += of
		}
	}
	return n
}

// goroutines are those that the log's label is on.
func (l *load) goroutines() string {
	var all strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		l.t.Fatal(err)
	}
	var own []string
	for entry := range strings.SplitSeq(all.String(), "\n\n") {
		if strings.Contains(entry, l.label) {
			_, entry, _ = strings.Cut("\n"+entry, "\n")
			if strings.HasPrefix(entry, "goroutine profile") {
				_, entry, _ = strings.Cut(entry, "\n")
			}
			own = append(own, entry)
		}
	}
	return strings.Join(own, "\n\n")
}
