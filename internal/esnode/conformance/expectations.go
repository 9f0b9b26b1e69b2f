package conformance

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

func expectations() []Behaviour {
	return []Behaviour{
		{"an append is made where its stream is as expected", expectationsHold},
		{"an append that expects its stream elsewhere is told where it is", conflictsTell},
		{"stream_exists holds for a stream that has only metadata", metadataIsExistence},
		{"of many appends at one revision, one is made", conflictsLeaveOne},
	}
}

func expectationsHold(t *Trial) {
	stream := t.stream("s")
	for i, expected := range []Expected{NoStream, 0, Any, StreamExists, 3} {
		if r := t.append(stream, expected, event("x")); r.Revision != uint64(i) {
			t.Errorf("expecting %d: at revision %d, want %d", expected, r.Revision, i)
		}
	}
	if r := t.append(t.stream("new"), Any, event("x")); r.Revision != 0 {
		t.Errorf("any, of a new stream: at revision %d", r.Revision)
	}
}

func conflictsTell(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a", "b")
	for _, c := range []struct {
		stream   string
		expected Expected
		text     string
	}{
		{stream, NoStream, "expecting 'no_stream' but got '1'"},
		{stream, 0, "expecting '0' but got '1'"},
		{stream, 7, "expecting '7' but got '1'"},
		{t.stream("new"), StreamExists, "expecting 'stream_exists' but got 'no_stream'"},
		{t.stream("new"), 0, "expecting '0' but got 'no_stream'"},
	} {
		_, err := t.Append(t.ctx, c.stream, c.expected, event("x"))
		t.wantError(c.text, err, ErrConflict)
		if err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("got %v, want %s", err, c.text)
		}
	}
	t.wantStream(stream, "0:a", "1:b")
	_, err := t.Read(t.ctx, t.stream("new"), Read{Count: 1})
	t.wantError("what was refused", err, ErrNotFound)
}

func metadataIsExistence(t *Trial) {
	stream, five := t.stream("s"), uint64(5)
	t.setMetadata(stream, Metadata{MaxCount: &five})
	_, err := t.Read(t.ctx, stream, Read{Count: 1})
	t.wantError("before its first event", err, ErrNotFound)
	if r := t.append(stream, StreamExists, event("a")); r.Revision != 0 {
		t.Errorf("the first event has revision %d", r.Revision)
	}
}

func conflictsLeaveOne(t *Trial) {
	const writers = 16
	stream := t.stream("s")
	for round := range 5 {
		var made atomic.Int32
		var writing sync.WaitGroup
		for range writers {
			writing.Go(func() {
				_, err := t.Append(t.ctx, stream, Expected(round-1), event(strconv.Itoa(round)))
				if err == nil {
					made.Add(1)
					return
				}
				t.wantError("one that came late", err, ErrConflict)
			})
		}
		writing.Wait()
		if made.Load() != 1 {
			t.Errorf("round %d: %d appends were made", round, made.Load())
		}
	}
	t.wantStream(stream, "0:0", "1:1", "2:2", "3:3", "4:4")
}
