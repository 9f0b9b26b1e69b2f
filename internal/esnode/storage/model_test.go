package storage_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

var streamNames = []string{"a", "ab", "a\x00", "$$a", "b", "ü"}

// TestModel puts random commits into a log and compares whatever can be read
// from it with a list of all that was put.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{fs: vfs.NewMem(), states: map[string]storage.Stream{}}
		m.open(t)
		defer func() { _ = m.log.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"commit":           m.commit,
			"refuse":           m.refuse,
			"reopen":           m.reopen,
			"read the log":     m.readAll,
			"read it back":     m.readAllBack,
			"read a stream":    m.readStream,
			"read it backward": m.readStreamBack,
			"":                 m.check,
		})
	})
}

type model struct {
	fs     vfs.FS
	log    *storage.Log
	events []storage.Event
	states map[string]storage.Stream
}

func (m *model) open(t *rapid.T) {
	log, err := storage.Open(storage.Options{FS: m.fs, Dir: "log", Logger: quiet})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	m.log = log
}

func (m *model) reopen(t *rapid.T) {
	if err := m.log.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	m.open(t)
}

func (m *model) state(name string) storage.Stream {
	if s, ok := m.states[name]; ok {
		return s
	}
	return storage.Stream{Last: storage.NoRevision}
}

// commit puts one to three runs of events, into streams that may repeat.
func (m *model) commit(t *rapid.T) {
	names := rapid.SliceOfN(rapid.SampledFrom(streamNames), 1, 3).Draw(t, "streams")
	var put []storage.Event
	states := map[string]storage.Stream{}
	err := m.log.Commit(t.Context(), func(tx *storage.Tx) error {
		for _, name := range names {
			s, err := tx.Stream(name)
			if err != nil {
				return err
			}
			for range rapid.IntRange(1, 4).Draw(t, "events") {
				s.Last++
				e := drawEvent(t)
				position := tx.Put(name, uint64(s.Last), &e)
				put = append(put, storage.Event{
					Position: position, Revision: uint64(s.Last), ID: e.ID, JSON: e.JSON,
					Stream: []byte(name), Type: []byte(e.Type), Data: e.Data, Metadata: e.Metadata,
				})
			}
			s.Retention.MaxCount = rapid.Int64Min(0).Draw(t, "count")
			tx.PutStream(name, s)
			states[name] = s
		}
		return nil
	})
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	m.events = append(m.events, put...)
	for name, s := range states {
		s.At = put[len(put)-1].Position
		m.states[name] = s
	}
}

func (m *model) refuse(t *rapid.T) {
	refused := errors.New("refused")
	if err := m.log.Commit(t.Context(), func(tx *storage.Tx) error {
		e := drawEvent(t)
		tx.Put("a", 1000, &e)
		return refused
	}); !errors.Is(err, refused) {
		t.Fatalf("refuse: %v", err)
	}
}

func drawEvent(t *rapid.T) storage.NewEvent {
	text := rapid.SliceOfN(rapid.Byte(), 0, 40)
	return storage.NewEvent{
		ID:       [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
		Type:     rapid.StringN(1, 8, -1).Draw(t, "type"),
		JSON:     rapid.Bool().Draw(t, "json"),
		Data:     text.Draw(t, "data"),
		Metadata: text.Draw(t, "metadata"),
	}
}

func (m *model) head() uint64 {
	if len(m.events) == 0 {
		return 0
	}
	return m.events[len(m.events)-1].Position
}

// check holds after every step.
func (m *model) check(t *rapid.T) {
	if m.log.Head() != m.head() {
		t.Fatalf("the head is at %d, want %d", m.log.Head(), m.head())
	}
	for _, name := range streamNames {
		got, err := m.log.Stream(t.Context(), name)
		if err != nil || got != m.state(name) {
			t.Fatalf("stream %q is %+v, %v, want %+v", name, got, err, m.state(name))
		}
	}
}

func (m *model) readAll(t *rapid.T) {
	from := rapid.Uint64Range(0, m.head()+2).Draw(t, "from")
	stop := rapid.IntRange(1, 5).Draw(t, "page")
	var got []storage.Event
	for next := from; next <= m.head(); {
		n := 0
		after, err := m.log.ScanAll(next, m.head(), func(e *storage.Event) bool {
			got = append(got, *e.Clone())
			n++
			return n < stop
		})
		if err != nil {
			t.Fatalf("scan from %d: %v", next, err)
		}
		next = after
	}
	compare(t, got, m.where(func(e storage.Event) bool { return e.Position >= from }))
}

func (m *model) readAllBack(t *rapid.T) {
	from := rapid.Uint64Range(0, m.head()).Draw(t, "from")
	stop := rapid.IntRange(1, 5).Draw(t, "page")
	var got []storage.Event
	for next := from; next > 0; {
		n := 0
		before, err := m.log.ScanAllBack(next, func(e *storage.Event) bool {
			got = append(got, *e.Clone())
			n++
			return n < stop
		})
		if err != nil {
			t.Fatalf("scan back from %d: %v", next, err)
		}
		next = before
	}
	want := m.where(func(e storage.Event) bool { return e.Position <= from })
	slices.Reverse(want)
	compare(t, got, want)
}

// span draws a stream that has events and a range of its revisions.
func (m *model) span(t *rapid.T) (name string, low, high uint64) {
	for len(m.events) == 0 {
		m.commit(t)
	}
	name = string(rapid.SampledFrom(m.events).Draw(t, "event").Stream)
	last := uint64(m.state(name).Last)
	low = rapid.Uint64Range(0, last).Draw(t, "low")
	return name, low, rapid.Uint64Range(low, last).Draw(t, "high")
}

func (m *model) within(name string, low, high uint64) []storage.Event {
	return m.where(func(e storage.Event) bool {
		return string(e.Stream) == name && e.Revision >= low && e.Revision <= high
	})
}

func (m *model) readStream(t *rapid.T) {
	name, low, high := m.span(t)
	var got []storage.Event
	for next := low; next <= high; {
		after, err := m.log.ScanStream(name, next, high, 0, func(e *storage.Event) bool {
			got = append(got, *e.Clone())
			return len(got)%3 != 0
		})
		if err != nil {
			t.Fatalf("scan %q from %d: %v", name, next, err)
		}
		next = after
	}
	compare(t, got, m.within(name, low, high))
}

func (m *model) readStreamBack(t *rapid.T) {
	name, low, high := m.span(t)
	var got []storage.Event
	for next, more := high, true; more; {
		var err error
		next, more, err = m.log.ScanStreamBack(name, next, low, 0, func(e *storage.Event) bool {
			got = append(got, *e.Clone())
			return len(got)%3 != 0
		})
		if err != nil {
			t.Fatalf("scan %q back: %v", name, err)
		}
	}
	want := m.within(name, low, high)
	slices.Reverse(want)
	compare(t, got, want)
}

func (m *model) where(wanted func(storage.Event) bool) []storage.Event {
	var out []storage.Event
	for _, e := range m.events {
		if wanted(e) {
			out = append(out, e)
		}
	}
	return out
}

func compare(t *rapid.T, got, want []storage.Event) {
	show := func(events []storage.Event) (out []string) {
		for _, e := range events {
			out = append(out, fmt.Sprintf("%d %q@%d %x %q %q %q %t", e.Position, e.Stream, e.Revision, e.ID, e.Type, e.Metadata, e.Data, e.JSON))
		}
		return out
	}
	if g, w := show(got), show(want); !slices.Equal(g, w) {
		t.Fatalf("got  %q\nwant %q", g, w)
	}
}
