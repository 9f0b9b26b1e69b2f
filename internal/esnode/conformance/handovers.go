package conformance

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

func handovers() []Behaviour {
	return []Behaviour{
		{"a subscription to a stream goes from old to new under 16 writers, without gap or repetition", handoverOfStream},
		{"a subscription to the log goes from old to new under 16 writers, without gap or repetition", handoverOfLog},
		{"a subscription by type goes from old to new under 16 writers, without gap or repetition", handoverByType},
		{"a subscription by stream goes from old to new under 16 writers, without gap or repetition", handoverByStream},
	}
}

const (
	handoverWriters   = 16
	handoverAppends   = 20 // of each writer
	handoverFollowers = 6  // which begin while the writers write
)

func handoverOfStream(t *Trial) {
	stream := t.stream("shared")
	t.handover(stream, func(int) string { return stream }, Subscribe{}, func(*Recorded) bool { return true })
}

func (t *Trial) writersStream(w int) string { return t.stream(fmt.Sprintf("writer-%d", w)) }

func handoverOfLog(t *Trial) {
	from := t.say(t.stream("before"), "x").Position
	t.handover(All, t.writersStream, Subscribe{From: AtPosition(from)}, func(*Recorded) bool { return true })
}

func handoverByType(t *Trial) {
	from := t.say(t.stream("before"), "x").Position
	filter := &Filter{Prefixes: []string{"odd"}, Window: 8, Interval: 1}
	t.handover(All, t.writersStream, Subscribe{From: AtPosition(from), Filter: filter}, func(e *Recorded) bool { return e.Type == "odd" })
}

func handoverByStream(t *Trial) {
	from := t.say(t.stream("before"), "x").Position
	wanted := t.writersStream(1) // and 10 to 15
	filter := &Filter{ByStream: true, Prefixes: []string{wanted}, Window: 8, Interval: 1}
	t.handover(All, t.writersStream, Subscribe{From: AtPosition(from), Filter: filter}, func(e *Recorded) bool {
		return len(e.Stream) >= len(wanted) && e.Stream[:len(wanted)] == wanted
	})
}

// handover has many write while others begin to follow, each at a moment of its
// own, and holds what each of them saw against what is there in the end.
func (t *Trial) handover(source string, streamOf func(writer int) string, s Subscribe, wanted func(*Recorded) bool) {
	t.Helper()
	var written atomic.Int64
	moments := make([]chan struct{}, handoverFollowers)
	for i := range moments {
		moments[i] = make(chan struct{})
	}
	const total = handoverWriters * handoverAppends
	wrote := func() {
		n := written.Add(1) - 1
		if step := int64(total / handoverFollowers); n%step == 0 && n/step < handoverFollowers {
			close(moments[n/step])
		}
	}
	var writing, following sync.WaitGroup
	for w := range handoverWriters {
		writing.Go(func() { t.write(streamOf(w), wrote) })
	}
	seen := make([]*witness, handoverFollowers)
	for i, moment := range moments {
		seen[i] = &witness{done: make(chan struct{})}
		following.Go(func() {
			select {
			case <-moment:
				seen[i].watch(t, source, s)
			case <-t.ctx.Done():
			}
		})
	}
	writing.Wait()
	var want []Position
	for _, r := range t.mine(t.read(source, Read{From: s.From, Count: Everything})) {
		if p := r.Event.Position; wanted(r.Event) && (s.From.Position == nil || s.From.Position.Before(p)) {
			want = append(want, p)
		}
	}
	for _, w := range seen {
		w.expect(len(want))
	}
	following.Wait()
	for i, w := range seen {
		if !slices.Equal(w.positions, want) {
			t.Errorf("subscription %d saw %d events, want %d, or in another order", i, len(w.positions), len(want))
		}
	}
}

// write appends one, two or three events at a time, of two types in turn.
func (t *Trial) write(stream string, wrote func()) {
	for i := range handoverAppends {
		batch := events([]string{"a", "b", "c"}[:1+i%3]...)
		for k := range batch {
			batch[k].Type = []string{"even", "odd"}[(i+k)%2]
		}
		if _, err := t.Append(t.ctx, stream, Any, batch...); err != nil {
			t.Errorf("append: %v", err)
		}
		wrote()
	}
}

// witness keeps what a subscription saw, until that is as many events as there
// are: it follows before that is known.
type witness struct {
	mu        sync.Mutex
	positions []Position
	enough    int
	known     bool
	done      chan struct{}
	once      sync.Once
}

func (w *witness) expect(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enough, w.known = n, true
	w.check()
}

func (w *witness) check() {
	if w.known && len(w.positions) >= w.enough {
		w.once.Do(func() { close(w.done) })
	}
}

func (w *witness) watch(t *Trial, source string, s Subscribe) {
	sub, err := t.Subscribe(t.ctx, source, s)
	if err != nil {
		t.Errorf("subscribe: %v", err)
		return
	}
	go func() {
		select {
		case <-w.done:
		case <-t.ctx.Done():
		}
		sub.Close()
	}()
	f := &following{t, sub}
	for {
		m := f.next()
		switch m.Kind {
		case Dropped:
			return
		case Appeared:
			w.mu.Lock()
			w.positions = append(w.positions, m.Resolved.Event.Position)
			w.check()
			w.mu.Unlock()
		case Unknown:
			t.Errorf("a message of no known kind")
		case CaughtUp, Checkpoint:
		}
	}
}
