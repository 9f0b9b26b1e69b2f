package conformance

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

func appends() []Behaviour {
	return []Behaviour{
		{"an append answers with its last event's place, and is read back as it was sent", appendIsReadBack},
		{"an append can be read by everybody once it is answered", appendIsVisible},
		{"an append is one piece of its stream and of the log, whoever else writes", appendIsContiguous},
		{"an event is dated when it is appended", appendIsDated},
		{"a payload is kept as it is, whatever its content type says", payloadsAreOpaque},
		{"a stream may have any name but $$", namesAreFree},
		{"a stream's name that another begins with is another stream", namesAreWhole},
		{"an append of 1 MiB is taken, and a larger one refused", appendIsBounded},
	}
}

func appendIsReadBack(t *Trial) {
	for _, n := range []int{1, 2, 500} {
		stream := t.stream(strconv.Itoa(n))
		sent := make([]Event, n)
		for i := range sent {
			sent[i] = event(strconv.Itoa(i))
		}
		sent[0].JSON = false
		receipt := t.append(stream, NoStream, sent...)
		first := t.read(stream, Read{Count: 1})[0].Event.Position
		for _, source := range []struct {
			name string
			got  []Resolved
		}{
			{stream, t.read(stream, Read{Count: Everything})},
			{All, t.mine(t.read(All, Read{From: AtPosition(first), Count: Everything}))},
		} {
			if len(source.got) != n {
				t.Fatalf("%s has %d events of %d", source.name, len(source.got), n)
			}
			for i, r := range source.got {
				t.wantSame(r.Event, sent[i], stream, uint64(i))
				if i > 0 && !source.got[i-1].Event.Position.Before(r.Event.Position) {
					t.Errorf("event %d does not come after the one before it", i)
				}
			}
			last := source.got[n-1].Event
			if receipt != (Receipt{last.Revision, last.Position}) {
				t.Errorf("the answer is %+v, the last event is at %d, %+v", receipt, last.Revision, last.Position)
			}
		}
	}
}

func (t *Trial) wantSame(got *Recorded, want Event, stream string, revision uint64) {
	t.Helper()
	if got.ID != want.ID || got.Type != want.Type || got.JSON != want.JSON || !bytes.Equal(got.Data, want.Data) ||
		!bytes.Equal(got.Metadata, want.Metadata) || got.Stream != stream || got.Revision != revision {
		t.Errorf("got %+v, sent was %+v", got, want)
	}
}

func appendIsVisible(t *Trial) {
	other := t.connect(t)
	stream := t.stream("s")
	for i := range uint64(20) {
		receipt := t.say(stream, "x")
		got, err := other.Read(t.ctx, stream, Read{From: AtRevision(i), Count: Everything})
		if err != nil || len(got) != 1 {
			t.Errorf("event %d: the stream gives %d events, %v", i, len(got), err)
		}
		got, err = other.Read(t.ctx, All, Read{From: AtPosition(receipt.Position), Count: 1})
		if err != nil || len(got) != 1 || got[0].Event.Stream != stream || got[0].Event.Revision != i {
			t.Errorf("event %d: the log gives %v, %v", i, got, err)
		}
	}
}

func appendIsContiguous(t *Trial) {
	const (
		writers = 8
		each    = 10
		size    = 7
	)
	stream := t.stream("shared")
	before := t.say(t.stream("before"), "x").Position
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				batch := make([]Event, size)
				for k := range batch {
					batch[k] = event(fmt.Sprintf("%d-%d", w, i))
				}
				if _, err := t.Append(t.ctx, stream, Any, batch...); err != nil {
					t.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	writing.Wait()
	all := t.read(All, Read{From: AtPosition(before), Count: Everything})
	for name, got := range map[string][]Resolved{stream: t.read(stream, Read{Count: Everything}), All: all} {
		run := 0
		for i, r := range got {
			if r.Event.Stream != stream {
				if run%size != 0 {
					t.Fatalf("%s: another's event is in the middle of an append", name)
				}
				continue
			}
			if run%size != 0 && !bytes.Equal(got[i-1].Event.Data, r.Event.Data) {
				t.Fatalf("%s: event %d interrupts an append", name, i)
			}
			run++
		}
		if run != writers*each*size {
			t.Errorf("%s has %d events of %d", name, run, writers*each*size)
		}
	}
}

// clockDifference is how far a server's clock may be from this one.
const clockDifference = time.Minute

func appendIsDated(t *Trial) {
	before := time.Now()
	t.say(t.stream("s"), "x")
	created := t.read(t.stream("s"), Read{Count: 1})[0].Event.Created
	if created.Before(before.Add(-clockDifference)) || created.After(time.Now().Add(clockDifference)) {
		t.Errorf("created %v, it is %v", created, time.Now())
	}
}

func payloadsAreOpaque(t *Trial) {
	stream := t.stream("s")
	sent := []Event{
		{ID: uuid.New(), Type: "nothing", JSON: true},
		{ID: uuid.New(), Type: "not JSON", JSON: true, Data: []byte("{"), Metadata: []byte{0xff, 0}},
		{ID: uuid.New(), Type: "binary", Data: []byte{0, 1, 0xfe}, Metadata: []byte("x")},
		{ID: uuid.New(), Type: "ü/漢 字", JSON: true, Data: []byte(`{ "a" : 1 }`)},
	}
	t.append(stream, NoStream, sent...)
	for i, r := range t.read(stream, Read{Count: Everything}) {
		t.wantSame(r.Event, sent[i], stream, uint64(i))
	}
}

func namesAreFree(t *Trial) {
	for _, suffix := range []string{"a", "A", "ü/漢 字", "a b", "a-b_c.d:e@f", "100%", "a\x00b\nc", strings.Repeat("n", 5000)} {
		stream := t.stream(suffix)
		t.say(stream, suffix)
		if got := t.read(stream, Read{Count: Everything}); len(got) != 1 || got[0].Event.Stream != stream {
			t.Errorf("%q gives %v", stream, got)
		}
	}
	for _, name := range []string{"", "$$"} {
		_, err := t.Append(t.ctx, name, Any, event("x"))
		t.wantError(fmt.Sprintf("%q", name), err, ErrInvalid)
	}
}

func namesAreWhole(t *Trial) {
	names := []string{"s", "s-", "s-1", "s-10", "s-1-"}
	for _, name := range names {
		t.say(t.stream(name), name)
	}
	for _, name := range names {
		t.wantStream(t.stream(name), "0:"+name)
	}
	_, err := t.Read(t.ctx, t.stream("s-1-0"), Read{Count: 1})
	t.wantError("a longer name", err, ErrNotFound)
}

func appendIsBounded(t *Trial) {
	const limit = 1 << 20 // of data, metadata and twice the type's length
	stream := t.stream("s")
	exact := event("x")
	exact.Data = make([]byte, limit-len(exact.Metadata)-2*len(exact.Type))
	larger := event("x")
	larger.Data = make([]byte, len(exact.Data)+1)
	many := make([]Event, 30)
	for i := range many {
		many[i] = event("x")
		many[i].Data = make([]byte, 300_000)
	}
	_, err := t.Append(t.ctx, stream, Any, larger)
	t.wantError("a byte more than 1 MiB", err, ErrInvalid)
	_, err = t.Append(t.ctx, stream, Any, many...) // the whole request is read before it is refused
	t.wantError("9 MB in 30 events", err, ErrInvalid)
	if r := t.append(stream, NoStream, exact); r.Revision != 0 {
		t.Errorf("1 MiB is at revision %d", r.Revision)
	}
}
