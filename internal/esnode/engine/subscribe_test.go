package engine_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

func next(messages iter.Seq2[engine.Message, error]) (engine.Message, error) {
	for m, err := range messages {
		return m, err
	}
	return engine.Message{}, nil
}

// subscription reads messages one by one.
type subscription struct {
	t    testing.TB
	pull func() (engine.Message, error, bool)
}

func follow(t testing.TB, messages iter.Seq2[engine.Message, error]) *subscription {
	t.Helper()
	pull, stop := iter.Pull2(messages)
	t.Cleanup(stop)
	return &subscription{t, pull}
}

func (s *subscription) next() string {
	m, err, ok := s.pull()
	switch {
	case !ok:
		return "end"
	case err != nil:
		return "error " + err.Error()
	case m.Kind == engine.Confirmed:
		return "confirmed"
	case m.Kind == engine.CaughtUp:
		return "caught up"
	case m.Kind == engine.Checkpoint:
		return fmt.Sprintf("checkpoint %d", m.Position.Commit)
	default:
		return text(m.Resolved)
	}
}

func (s *subscription) want(want ...string) {
	s.t.Helper()
	for i, w := range want {
		if got := s.next(); got != w {
			s.t.Fatalf("message %d is %q, want %q", i, got, w)
		}
	}
}

func after[T any](t T) engine.Start[T] { return engine.Start[T]{After: &t} }

func TestSubscribeStream(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start engine.Start[uint64]
		want  []string // before a fourth event, which is always last
	}{
		"from the start":          {engine.Start[uint64]{}, []string{"confirmed", "0:1", "1:2", "2:3", "caught up", "3:4"}},
		"after one":               {after(uint64(1)), []string{"confirmed", "2:3", "caught up", "3:4"}},
		"after the last":          {after(uint64(2)), []string{"confirmed", "caught up", "3:4"}},
		"from the end":            {engine.Start[uint64]{End: true}, []string{"confirmed", "caught up", "3:4"}},
		"after one not yet there": {after(uint64(3)), []string{"confirmed", "caught up", "4:5"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.mustAppend("s", engine.NoStream, 1, 2, 3)
			s := follow(t, r.engine.SubscribeStream(r.ctx, engine.StreamSubscription{Stream: "s", Start: c.start}))
			live := len(c.want) - 1
			s.want(c.want[:live]...)
			r.mustAppend("other", engine.NoStream, 9)
			r.mustAppend("s", 2, 4)
			r.mustAppend("s", 3, 5)
			s.want(c.want[live])
		})
	}

	t.Run("waits for a stream that is not there", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		s := follow(t, r.engine.SubscribeStream(r.ctx, engine.StreamSubscription{Stream: "s"}))
		s.want("confirmed", "caught up")
		r.mustAppend("s", engine.NoStream, 1)
		s.want("0:1")
	})

	t.Run("shows what metadata lets it show", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", engine.NoStream, 1, 2, 3)
		r.setMetadata("s", `{"$maxCount":1}`)
		s := follow(t, r.engine.SubscribeStream(r.ctx, engine.StreamSubscription{Stream: "s"}))
		s.want("confirmed", "2:3", "caught up")
		r.mustAppend("s", 2, 4)
		s.want("3:4")
	})

	t.Run("lives through a deletion", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", engine.NoStream, 1)
		s := follow(t, r.engine.SubscribeStream(r.ctx, engine.StreamSubscription{Stream: "s"}))
		s.want("confirmed", "0:1", "caught up")
		r.mustDelete("s", 0)
		r.mustAppend("s", engine.NoStream, 2)
		s.want("1:2")
	})

	t.Run("ends with the stream", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", engine.NoStream, 1)
		s := follow(t, r.engine.SubscribeStream(r.ctx, engine.StreamSubscription{Stream: "s"}))
		s.want("confirmed", "0:1", "caught up")
		r.mustAppend("s", 0, 2)
		r.mustTombstone("s", 1)
		s.want("1:2", "9223372036854775807:", `error stream "s" is deleted`, "end")
	})

	t.Run("resolves links", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", engine.NoStream, 1)
		link := storage.NewEvent{ID: id(9), Type: "$>", Data: []byte("0@s")}
		if _, err := r.engine.Append(r.ctx, engine.Append{Stream: "l", Expected: engine.NoStream, Events: []storage.NewEvent{link}}); err != nil {
			t.Fatal(err)
		}
		s := follow(t, r.engine.SubscribeStream(r.ctx, engine.StreamSubscription{Stream: "l", ResolveLinks: true}))
		s.want("confirmed", "link 0:0@s to 0:1")
	})

	t.Run("ends with its context, and with its cause", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		ctx, cancel := context.WithCancelCause(r.ctx)
		s := follow(t, r.engine.SubscribeStream(ctx, engine.StreamSubscription{Stream: "s"}))
		s.want("confirmed", "caught up")
		cancel(errors.New("closing time"))
		s.want("error closing time", "end")
	})
}

func TestSubscribeAll(t *testing.T) {
	t.Parallel()

	t.Run("begins behind any pair", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		p := r.mustAppend("a", engine.NoStream, 1).Position
		r.mustAppend("b", engine.NoStream, 2)
		pos := func(c, q uint64) engine.Start[engine.Position] { return after(engine.Position{Commit: c, Prepare: q}) }
		for name, c := range map[string]struct {
			start engine.Start[engine.Position]
			want  []string
		}{
			"the start":              {engine.Start[engine.Position]{}, []string{"0:1", "0:2", "caught up"}},
			"an event":               {pos(p, p), []string{"0:2", "caught up"}},
			"before an event's pair": {pos(p, 0), []string{"0:1", "0:2", "caught up"}},
			"behind an event's pair": {pos(p, p+1), []string{"0:2", "caught up"}},
			"the end":                {engine.Start[engine.Position]{End: true}, []string{"caught up"}},
			"past the end":           {pos(r.log.Head()+1000, 0), []string{"caught up"}},
			"past everything":        {pos(math.MaxUint64, math.MaxUint64), []string{"caught up"}},
		} {
			s := follow(t, r.engine.SubscribeAll(r.ctx, engine.AllSubscription{Start: c.start}))
			s.want("confirmed")
			for _, w := range c.want {
				if got := s.next(); got != w {
					t.Errorf("%s: got %q, want %q", name, got, w)
				}
			}
		}
	})

	t.Run("says again that it has caught up when it had fallen behind", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		s := follow(t, r.engine.SubscribeAll(r.ctx, engine.AllSubscription{}))
		s.want("confirmed", "caught up")
		const n = 2_500 // more than two pages, while the reader does not read
		for i := range n {
			r.mustAppend("s", engine.Expected(i-1), i+1)
		}
		for i := range n {
			s.want(fmt.Sprintf("%d:%d", i, i+1))
		}
		s.want("caught up")
		r.mustAppend("s", n-1, n+1)
		s.want(fmt.Sprintf("%d:%d", n, n+1))
	})

	t.Run("gets checkpoints only with a filter", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		var p [6]uint64
		for i := range p {
			p[i] = r.mustAppend(fmt.Sprintf("s%d", i%2), engine.Any, i+1).Position
		}
		filter, err := engine.NewFilter(engine.FilterOptions{ByStream: true, Prefixes: []string{"s0"}})
		if err != nil {
			t.Fatal(err)
		}
		s := follow(t, r.engine.SubscribeAll(r.ctx, engine.AllSubscription{Filter: filter, CheckpointEvery: 4}))
		mark := func(i int) string { return fmt.Sprintf("checkpoint %d", p[i]) }
		s.want("confirmed", "0:1", "1:3", mark(3), "2:5", mark(5), "caught up")
		for i := range 4 {
			r.mustAppend("s1", engine.Any, 10+i)
		}
		s.want(fmt.Sprintf("checkpoint %d", r.log.Head()))
		follow(t, r.engine.SubscribeAll(r.ctx, engine.AllSubscription{Filter: filter, Start: engine.Start[engine.Position]{End: true}, CheckpointEvery: 1})).
			want("confirmed", "caught up")
		follow(t, r.engine.SubscribeAll(r.ctx, engine.AllSubscription{})).
			want("confirmed", "0:1", "0:2", "1:3", "1:4", "2:5", "2:6", "3:10", "4:11", "5:12", "6:13", "caught up")
		if _, err := next(r.engine.SubscribeAll(r.ctx, engine.AllSubscription{Filter: filter})); !isInvalid(err) {
			t.Errorf("without an interval: got %v", err)
		}
	})
}

// TestCheckpoints follows random logs with random filters, and resumes from
// everything that a subscription was told.
func TestCheckpoints(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		var matching []uint64
		for i, wanted := range rapid.SliceOfN(rapid.Bool(), 0, 40).Draw(rt, "events") {
			stream := map[bool]string{true: "yes", false: "no"}[wanted]
			p := r.mustAppend(stream, engine.Any, i+1).Position
			if wanted {
				matching = append(matching, p)
			}
		}
		filter, err := engine.NewFilter(engine.FilterOptions{ByStream: true, Regex: "yes"})
		if err != nil {
			rt.Fatal(err)
		}
		every := rapid.Uint64Range(1, 10).Draw(rt, "every")
		subscribe := func(start engine.Start[engine.Position]) (events []uint64, told []engine.Position) {
			var last engine.Position
			for m, err := range r.engine.SubscribeAll(r.ctx, engine.AllSubscription{Start: start, Filter: filter, CheckpointEvery: every}) {
				switch {
				case err != nil:
					rt.Fatal(err)
				case m.Kind == engine.CaughtUp:
					return events, told
				case m.Kind == engine.EventAppeared:
					p := m.Resolved.Event.Position
					if p <= last.Commit {
						rt.Fatalf("event %d follows checkpoint %d", p, last.Commit)
					}
					events = append(events, p)
					told = append(told, engine.Position{Commit: p, Prepare: p})
				case m.Kind == engine.Checkpoint:
					if m.Position.Commit <= last.Commit {
						rt.Fatalf("checkpoint %d follows %d", m.Position.Commit, last.Commit)
					}
					last = m.Position
					told = append(told, m.Position)
				}
			}
			return events, told
		}
		events, told := subscribe(engine.Start[engine.Position]{})
		if !slices.Equal(events, matching) {
			rt.Fatalf("got %v, want %v", events, matching)
		}
		if head := r.log.Head(); head > 0 && told[len(told)-1].Commit != head {
			rt.Fatalf("told %v last, the head is at %d", told[len(told)-1], head)
		}
		for _, p := range told {
			rest := slices.DeleteFunc(slices.Clone(matching), func(m uint64) bool { return m <= p.Commit })
			if got, _ := subscribe(after(p)); !slices.Equal(got, rest) {
				rt.Fatalf("after %d: got %v, want %v", p.Commit, got, rest)
			}
		}
	})
}

// TestHandover subscribes while many write: whatever the moment, each event
// comes once and in order.
func TestHandover(t *testing.T) {
	t.Parallel()
	const (
		writers     = 16
		each        = 60
		subscribers = 24
	)
	r := newRig(t)
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for i := range each {
				if _, err := r.append(fmt.Sprintf("s%d", w), engine.Expected(i-1), w*each+i+1); err != nil {
					t.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	seen := make([][]uint64, subscribers)
	for i := range subscribers {
		running.Go(func() {
			for m, err := range r.engine.SubscribeAll(r.ctx, engine.AllSubscription{}) {
				if err != nil {
					t.Errorf("subscription %d: %v", i, err)
					return
				}
				if m.Kind != engine.EventAppeared {
					continue
				}
				seen[i] = append(seen[i], m.Resolved.Event.Position)
				if len(seen[i]) == writers*each {
					return
				}
			}
		})
		running.Go(func() {
			want := uint64(0)
			name := fmt.Sprintf("s%d", i%writers)
			for m, err := range r.engine.SubscribeStream(r.ctx, engine.StreamSubscription{Stream: name}) {
				if err != nil {
					t.Errorf("subscription to %s: %v", name, err)
					return
				}
				if m.Kind != engine.EventAppeared {
					continue
				}
				if got := m.Resolved.Event.Revision; got != want {
					t.Errorf("%s: revision %d comes where %d is due", name, got, want)
					return
				}
				if want++; want == each {
					return
				}
			}
		})
	}
	running.Wait()
	var want []uint64
	for e, err := range r.engine.ReadAll(r.ctx, engine.AllRead{Count: math.MaxUint64}) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, e.Event.Position)
	}
	for i := range seen {
		if !slices.Equal(seen[i], want) {
			t.Errorf("subscription %d saw %d events, not the log's %d in order", i, len(seen[i]), len(want))
		}
	}
}
