package engine_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// TestModel does random things to a few streams and compares every outcome, and
// every stream after every step, with a model that keeps plain lists.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{rig: newRig(t), streams: map[string]*modelStream{}, remembered: map[string]int64{}}
		rt.Repeat(map[string]func(*rapid.T){
			"append":       m.append,
			"delete":       m.delete,
			"tombstone":    m.tombstone,
			"set metadata": m.setMetadata,
			"restart":      m.restart,
			"":             m.check,
		})
	})
}

type modelStream struct {
	ids       []int // by revision
	closed    bool
	described bool // has metadata
	low       int64
	maxCount  int64
}

func (s *modelStream) last() int64   { return int64(len(s.ids)) - 1 }
func (s *modelStream) deleted() bool { return s.low == math.MaxInt64 }

type model struct {
	*rig

	streams    map[string]*modelStream
	remembered map[string]int64 // "stream/id" to revision
	head       uint64
	metadata   int
}

func (m *model) stream(t *rapid.T) (string, *modelStream) {
	name := rapid.SampledFrom([]string{"a", "ab", "b"}).Draw(t, "stream")
	if m.streams[name] == nil {
		m.streams[name] = &modelStream{}
	}
	return name, m.streams[name]
}

func expectation(t *rapid.T, s *modelStream) engine.Expected {
	around := rapid.Int64Range(max(s.last()-2, 0), s.last()+2)
	return rapid.OneOf(
		rapid.SampledFrom([]engine.Expected{engine.Any, engine.StreamExists, engine.NoStream, engine.Expected(s.last())}),
		rapid.Map(around, func(n int64) engine.Expected { return engine.Expected(n) }),
	).Draw(t, "expected")
}

func (m *model) append(t *rapid.T) {
	name, s := m.stream(t)
	expected := expectation(t, s)
	// Few ids, so that repetitions happen by chance.
	ids := rapid.SliceOfN(rapid.IntRange(1, 6), 1, 3).Draw(t, "ids")
	repeats, want := m.judge(name, s, expected, ids)
	receipt, err := m.rig.append(name, expected, ids...)
	m.wantOutcome(t, err, want)
	if want != "" {
		return
	}
	if repeats >= 0 {
		if receipt.Revision != repeats || receipt.Position > m.head {
			t.Fatalf("a repetition of revision %d got %+v", repeats, receipt)
		}
		return
	}
	if receipt.Position <= m.head {
		t.Fatalf("position %d follows %d", receipt.Position, m.head)
	}
	if s.deleted() {
		s.low = int64(len(s.ids))
	}
	for _, n := range ids {
		m.remembered[fmt.Sprint(name, "/", n)] = int64(len(s.ids))
		s.ids = append(s.ids, n)
	}
	if receipt.Revision != s.last() {
		t.Fatalf("the receipt is %+v, the last revision %d", receipt, s.last())
	}
}

// judge says what an append is: refused ("conflict" or "deleted"), a repetition
// up to a revision, or, with -1, to be made.
func (m *model) judge(name string, s *modelStream, expected engine.Expected, ids []int) (repeats int64, refused string) {
	exact := int64(expected)
	switch {
	case s.closed:
		return -1, "deleted"
	case expected == engine.StreamExists && s.deleted():
		return -1, "deleted"
	case expected == engine.StreamExists && len(s.ids) == 0 && !s.described:
		return -1, "conflict"
	case expected == engine.Any || expected == engine.StreamExists:
		last := int64(-1)
		for i, n := range ids {
			revision, known := m.remembered[fmt.Sprint(name, "/", n)]
			if !known && i == 0 {
				return -1, ""
			}
			if !known {
				return -1, "conflict"
			}
			last = revision
		}
		return last, ""
	case exact > s.last():
		return -1, "conflict"
	case exact == s.last():
		return -1, ""
	}
	there := s.ids[exact+1:]
	if there[0] != ids[0] && expected == engine.NoStream && s.deleted() {
		return -1, ""
	}
	if len(there) < len(ids) || !slices.Equal(there[:len(ids)], ids) {
		return -1, "conflict"
	}
	return exact + int64(len(ids)), ""
}

func (m *model) delete(t *rapid.T) {
	name, s := m.stream(t)
	expected := expectation(t, s)
	_, want := m.judge(name, s, expected, []int{-1})
	if want == "" && len(s.ids) == 0 && !s.described {
		want = "conflict"
	}
	_, err := m.engine.Delete(m.ctx, name, expected)
	m.wantOutcome(t, err, want)
	if want == "" {
		s.low, s.maxCount, s.described = math.MaxInt64, 0, true
	}
}

func (m *model) tombstone(t *rapid.T) {
	if rapid.IntRange(0, 4).Draw(t, "rarely") > 0 {
		return // closed streams are dull
	}
	name, s := m.stream(t)
	expected := expectation(t, s)
	_, want := m.judge(name, s, expected, []int{-1})
	_, err := m.engine.Tombstone(m.ctx, name, expected)
	m.wantOutcome(t, err, want)
	s.closed = s.closed || want == ""
}

func (m *model) setMetadata(t *rapid.T) {
	name, s := m.stream(t)
	low := rapid.Int64Range(0, int64(len(s.ids))+1).Draw(t, "low")
	count := rapid.Int64Range(1, 4).Draw(t, "count")
	m.metadata++
	event := storage.NewEvent{
		ID: id(1000 + m.metadata), Type: "$metadata", JSON: true,
		Data: fmt.Appendf(nil, `{"$tb":%d,"$maxCount":%d}`, low, count),
	}
	_, err := m.engine.Append(m.ctx, engine.Append{Stream: "$$" + name, Expected: engine.Any, Events: []storage.NewEvent{event}})
	if s.closed {
		m.wantOutcome(t, err, "deleted")
		return
	}
	m.wantOutcome(t, err, "")
	if s.deleted() {
		low = int64(len(s.ids))
	}
	s.low, s.maxCount, s.described = low, count, true
}

func (m *model) restart(*rapid.T) {
	m.rig.restart()
	clear(m.remembered)
}

func (m *model) wantOutcome(t *rapid.T, err error, want string) {
	got := ""
	switch {
	case isConflict(err):
		got = "conflict"
	case isDeleted(err):
		got = "deleted"
	case err != nil:
		t.Fatal(err)
	}
	if got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func (m *model) check(t *rapid.T) {
	m.head = m.log.Head()
	for name, s := range m.streams {
		got, err := m.read(name)
		switch {
		case s.closed:
			if !isDeleted(err) {
				t.Fatalf("closed stream %s reads %v, %v", name, got, err)
			}
		case len(s.ids) == 0 || s.deleted():
			if !errors.Is(err, engine.ErrStreamNotFound) {
				t.Fatalf("absent stream %s reads %v, %v", name, got, err)
			}
		default:
			low := s.low
			if s.maxCount > 0 {
				low = max(low, int64(len(s.ids))-s.maxCount)
			}
			want := []string{}
			for revision := low; revision <= s.last(); revision++ {
				want = append(want, fmt.Sprintf("%d:%d", revision, s.ids[revision]))
			}
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("stream %s reads %v, %v, want %v", name, got, err, want)
			}
		}
	}
}

// TestRealTimeOrder: what began after an append was acknowledged lies behind it.
func TestRealTimeOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var acknowledged atomic.Uint64
	var running sync.WaitGroup
	for w := range 16 {
		running.Go(func() {
			for i := range 100 {
				before := acknowledged.Load()
				receipt, err := r.append("s"+strconv.Itoa(w), engine.Expected(i-1), w*100+i+1)
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				if receipt.Position <= before {
					t.Errorf("position %d came after %d was acknowledged", receipt.Position, before)
				}
				if head := r.log.Head(); head < receipt.Position {
					t.Errorf("position %d was acknowledged, the head is at %d", receipt.Position, head)
				}
				for {
					seen := acknowledged.Load()
					if receipt.Position <= seen || acknowledged.CompareAndSwap(seen, receipt.Position) {
						break
					}
				}
			}
		})
	}
	running.Wait()
}
