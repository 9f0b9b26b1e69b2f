package live_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
	"github.com/g4fagent/g4fagent/readapi/live"
)

// upTo are the numbers from one to before another.
func upTo(from, to int64) []int64 {
	ids := make([]int64, 0, max(to-from, 0))
	for id := from; id < to; id++ {
		ids = append(ids, id)
	}
	return ids
}

// Whenever a stream begins, and whoever writes meanwhile: the client gets every
// event once, in order.
func TestHistoryAndWhatFollowsAreOneStream(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	const writers, each, streams = 8, 60, 12
	const total = writers * each
	var clients [streams]*client
	var written atomic.Int64
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				n.append(journal, message(fmt.Sprint(w, " ", i)))
				written.Add(1)
			}
		})
	}
	for i := range clients {
		for written.Load() < int64(i*total/streams/2) { // some begin early, some late
			n.append("other-journal", message("makes the log move"))
		}
		clients[i] = follow(t.Context(), live.Stream{Hub: n.hub, User: "u", From: int64(i * 3)})
	}
	all.Wait()
	for i, c := range clients {
		c.has(t, total-1)
		c.leave()
		if err := c.over(t); err != nil {
			t.Error(err)
		}
		if got := c.ids(t); !slices.Equal(got, upTo(int64(i*3), total)) {
			t.Errorf("stream %d has %v", i, got)
		}
	}
}

func TestAStreamResumesAnywhere(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	const history = 40
	for i := range history {
		n.append(journal, message(strconv.Itoa(i)))
	}
	var clients []*client
	for from := range int64(history + 3) {
		clients = append(clients, follow(t.Context(), live.Stream{Hub: n.hub, User: "u", From: from}))
	}
	for i := range 5 {
		n.append(journal, message(fmt.Sprint("live ", i)))
	}
	for from, c := range clients {
		c.has(t, history+4)
		if got := c.ids(t); !slices.Equal(got, upTo(int64(from), history+5)) {
			t.Errorf("from %d: %v", from, got)
		}
	}
}

func TestAFrame(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	hubOn(b, eventschematest.Sealer{}, many)
	raw := message("")
	raw.Content = []byte(`[{"type":"text","text":"a < b && c > \u2028 d"}]`)
	b.write(journal,
		eventschema.SessionCreated{SessionID: "s", ProjectID: "p", Title: "t", Config: []byte(`{ "a" :
 1}`), Memory: []byte(`{}`), Tags: []string{}},
		raw,
		output("run_1", "to\nken"),
		eventschema.RunStepRequested{SessionID: "s", RunID: "run_1"}, // is not shown
		completed("run_1"),
	)
	c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u"})
	c.has(t, 4)
	if c.code != http.StatusOK || c.header.Get("Content-Type") != "text/event-stream" || c.header.Get("Cache-Control") != "no-cache" || c.header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("headers %d %v", c.code, c.header)
	}
	if !strings.HasPrefix(c.text(), "retry: 2000\n\nid: 0\n") {
		t.Errorf("the stream begins with %q", c.text()[:40])
	}
	frames := c.frames(t)
	if len(frames) != 4 || !slices.Equal(c.ids(t), []int64{0, 1, 2, 4}) {
		t.Fatalf("frames %+v", frames)
	}
	for i, want := range []struct{ event, data string }{
		{"session", `"config":{"a":1}`},
		{"message", `"text":"a < b && c > \u2028 d"`},
		{"token", `"text":"to\nken"`},
		{"status", `"status":"completed"`},
	} {
		f := frames[i]
		if f.event != want.event || !strings.Contains(f.data, want.data) {
			t.Errorf("frame %d is %s %s, want %s with %s", i, f.event, f.data, want.event, want.data)
		}
		if !strings.HasPrefix(f.data, `{"type":"`+want.event+`","ts":"2026-03-01T12:00:00.000000Z","data":{`) {
			t.Errorf("frame %d is %s", i, f.data)
		}
	}
}

func TestAStreamOfARun(t *testing.T) {
	t.Parallel()
	t.Run("leaves out what is not of it, and ends with it", func(t *testing.T) {
		t.Parallel()
		b := newBook(t)
		hubOn(b, eventschematest.Sealer{}, many)
		b.write(journal, message("x"), output("run_1", "a"), output("run_2", "b"))
		c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u", RunID: "run_1"})
		c.has(t, 1)
		b.append(journal, completed("run_2"), output("run_1", "c"), completed("run_1"), output("run_3", "d"))
		if err := c.over(t); err != nil {
			t.Error(err)
		}
		if got := c.ids(t); !slices.Equal(got, []int64{1, 4, 5}) || c.end(t) != "finished" {
			t.Errorf("the client has %v, and ends with %q", got, c.end(t))
		}
	})
	t.Run("moves its client past what it leaves out", func(t *testing.T) {
		t.Parallel()
		b := newBook(t)
		hubOn(b, eventschematest.Sealer{}, many)
		b.write(journal, output("run_1", "a"))
		for range 2500 {
			b.write(journal, output("run_2", "b"))
		}
		c := follow(t.Context(), live.Stream{Hub: b.hub, User: "u", RunID: "run_1"})
		c.has(t, 2000)
		for range 700 { // live, and from the log again: the ring is shorter
			b.append(journal, output("run_2", "b"))
		}
		c.has(t, 3000)
		b.append(journal, output("run_1", "c"))
		c.has(t, 3201)
		var cursors []int64
		for _, f := range c.frames(t) {
			if f.event == "cursor" {
				cursors = append(cursors, f.id)
			}
		}
		if !slices.Equal(cursors, []int64{1000, 2000, 3000}) {
			t.Errorf("cursors at %v", cursors)
		}
		before := b.reads
		again := follow(t.Context(), live.Stream{Hub: b.hub, User: "u", RunID: "run_1", From: 3001})
		again.has(t, 3201)
		if got := again.ids(t); !slices.Equal(got, []int64{3201}) || b.reads-before > 6 {
			t.Errorf("from the cursor: %v after %d reads", got, b.reads-before)
		}
	})
}
