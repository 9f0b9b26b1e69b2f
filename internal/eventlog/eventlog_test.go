package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/eventlog/eventlogtest"
)

func event(name string) eventlog.Event {
	return eventlog.Event{
		ID:     uuid.New(),
		Stored: eventschema.Stored{Name: name, Version: 1, Data: []byte(`{"name":"` + name + `"}`)},
		Meta:   eventlog.Meta{At: time.Now().UTC().Truncate(time.Microsecond), ActorUserID: "user_a", ActorKind: "user", RequestID: "req_1"},
	}
}

func events(n int) []eventlog.Event {
	list := make([]eventlog.Event, n)
	for i := range list {
		list[i] = event(fmt.Sprintf("test.e%d", i))
	}
	return list
}

func TestAppend(t *testing.T) {
	t.Parallel()
	log := eventlogtest.Open(t)

	t.Run("answers where the last event is", func(t *testing.T) {
		t.Parallel()
		for _, n := range []int{1, 2, 500} {
			stream := fmt.Sprintf("receipt-%d", n)
			receipt, err := log.Append(t.Context(), stream, eventlog.NoStream, events(n)...)
			if err != nil {
				t.Fatal(err)
			}
			last, err := log.ReadLast(t.Context(), stream, 1)
			if err != nil || len(last) != 1 {
				t.Fatal(last, err)
			}
			if receipt.Revision != int64(n-1) || last[0].Revision != receipt.Revision || last[0].Position != receipt.Position || receipt.Position.IsZero() {
				t.Fatalf("%d events: receipt %+v, last event %+v", n, receipt, last[0])
			}
		}
	})
	t.Run("keeps everything that was said of an event", func(t *testing.T) {
		t.Parallel()
		e := event("test.kept")
		if _, err := log.Append(t.Context(), "kept", eventlog.NoStream, e); err != nil {
			t.Fatal(err)
		}
		got, err := log.Read(t.Context(), "kept", 0, 10)
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		e.Meta.SchemaVersion = 1
		if got[0].ID != e.ID || got[0].Meta != e.Meta || string(got[0].Stored.Data) != string(e.Stored.Data) || got[0].Stored.Name != e.Stored.Name || got[0].Stored.Version != 1 {
			t.Fatalf("%+v", got[0])
		}
	})
	t.Run("conflicts at another revision", func(t *testing.T) {
		t.Parallel()
		if _, err := log.Append(t.Context(), "conflict", eventlog.NoStream, events(2)...); err != nil {
			t.Fatal(err)
		}
		for _, expected := range []int64{eventlog.NoStream, 0, 2} {
			if _, err := log.Append(t.Context(), "conflict", expected, event("test.late")); !errors.Is(err, eventlog.ErrConflict) {
				t.Fatalf("at %d: %v", expected, err)
			}
		}
	})
	t.Run("repeats the answer for the same events", func(t *testing.T) {
		t.Parallel()
		batch := events(3)
		first, err := log.Append(t.Context(), "again", eventlog.NoStream, batch...)
		if err != nil {
			t.Fatal(err)
		}
		second, err := log.Append(t.Context(), "again", eventlog.NoStream, batch...)
		if err != nil || second != first {
			t.Fatal(first, second, err)
		}
	})
	t.Run("appends at any revision", func(t *testing.T) {
		t.Parallel()
		for i := range 3 {
			receipt, err := log.Append(t.Context(), "any", eventlog.Any, event("test.any"))
			if err != nil || receipt.Revision != int64(i) {
				t.Fatal(receipt, err)
			}
		}
	})
	t.Run("refuses what cannot be appended", func(t *testing.T) {
		t.Parallel()
		if _, err := log.Append(t.Context(), "none", eventlog.NoStream); err == nil {
			t.Fatal("no events were appended")
		}
		nameless := event("test.nil")
		nameless.ID = uuid.Nil
		if _, err := log.Append(t.Context(), "none", eventlog.NoStream, nameless); err == nil {
			t.Fatal("an event without id was appended")
		}
		huge := event("test.huge")
		huge.Stored.Data = []byte(`"` + strings.Repeat("x", eventlog.MaxAppend) + `"`)
		if _, err := log.Append(t.Context(), "none", eventlog.NoStream, huge); !errors.Is(err, eventlog.ErrTooLarge) {
			t.Fatal(err)
		}
		if there, err := log.Read(t.Context(), "none", 0, 1); err != nil || len(there) != 0 {
			t.Fatal(there, err)
		}
	})
	t.Run("goes on when the caller leaves", func(t *testing.T) {
		t.Parallel()
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := log.Append(gone, "left", eventlog.NoStream, event("test.left")); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRead(t *testing.T) {
	t.Parallel()
	log := eventlogtest.Open(t)
	if _, err := log.Append(t.Context(), "s", eventlog.NoStream, events(10)...); err != nil {
		t.Fatal(err)
	}
	revisions := func(records []eventlog.Record, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, r := range records {
			all = append(all, strconv.FormatInt(r.Revision, 10))
		}
		return strings.Join(all, " ")
	}
	for name, got := range map[string]string{
		"2 3 4":   revisions(log.Read(t.Context(), "s", 2, 3)),
		"8 9":     revisions(log.Read(t.Context(), "s", 8, 100)),
		"":        revisions(log.Read(t.Context(), "s", 10, 100)),
		"9 8":     revisions(log.ReadLast(t.Context(), "s", 2)),
		"4 3 2 1": revisions(log.ReadBack(t.Context(), "s", 4, 4)),
		"1 0":     revisions(log.ReadBack(t.Context(), "s", 1, 4)),
	} {
		if got != name {
			t.Errorf("got %q, want %q", got, name)
		}
	}
	if got := revisions(log.Read(t.Context(), "nobody", 0, 1)); got != "" {
		t.Errorf("a stream that is not there has %q", got)
	}
}

func TestReadAllGoesThroughTheLogOnce(t *testing.T) {
	t.Parallel()
	log := eventlogtest.Open(t)
	const total = 57
	for i := range total {
		if _, err := log.Append(t.Context(), fmt.Sprintf("s-%d", i%5), eventlog.Any, event("test.all")); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[uuid.UUID]bool{}
	var at eventlog.Position
	for more := true; more; {
		var page []eventlog.Record
		var err error
		if page, at, more, err = log.ReadAll(t.Context(), at, 10); err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			if seen[r.ID] {
				t.Fatalf("%s twice", r.Position)
			}
			seen[r.ID] = true
		}
	}
	if head, err := log.Head(t.Context()); err != nil || head != at || len(seen) != total {
		t.Fatal(head, at, len(seen), err)
	}
}

func TestFollowSeesEverythingOnceInOrder(t *testing.T) {
	t.Parallel()
	log := eventlogtest.Open(t)
	const writers, each = 16, 25
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := log.Append(ctx, fmt.Sprintf("w-%d", w), int64(i)-1, event("test.live")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	next := map[string]int64{}
	var last eventlog.Position
	count := 0
	err := log.Follow(ctx, eventlog.Position{}, func(item eventlog.Item) error {
		if item.CaughtUp || item.Lost {
			return nil
		}
		r := item.Record
		if !last.Less(r.Position) || r.Revision != next[r.Stream] {
			t.Errorf("%s at %d after %s: want revision %d", r.Stream, r.Revision, last, next[r.Stream])
		}
		last, next[r.Stream] = r.Position, r.Revision+1
		if count++; count == writers*each {
			return errDone
		}
		return nil
	})
	wg.Wait()
	if !errors.Is(err, errDone) {
		t.Fatal(err)
	}
}

var errDone = errors.New("seen enough")

func TestPositions(t *testing.T) {
	t.Parallel()
	for _, p := range []eventlog.Position{{}, {Commit: 5, Prepare: 5}, {Commit: 7, Prepare: 0}, {Commit: 1 << 62, Prepare: 3}} {
		back, err := eventlog.ParsePosition(p.String())
		if err != nil || back != p {
			t.Errorf("%v became %v: %v", p, back, err)
		}
	}
	for _, bad := range []string{"", "x", "-1", "1.", "1.2.3", "18446744073709551615"} {
		if p, err := eventlog.ParsePosition(bad); err == nil {
			t.Errorf("ParsePosition(%q) = %v", bad, p)
		}
	}
	if !(eventlog.Position{Commit: 7}).Less(eventlog.Position{Commit: 7, Prepare: 1}) {
		t.Error("positions are not lexicographic")
	}
}

func TestLanesAreFairAndLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	var lanes eventlog.Lanes
	leave, err := lanes.Enter(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	other, err := lanes.Enter(t.Context(), "t")
	if err != nil {
		t.Fatal("another stream's lane is not free:", err)
	}
	other()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lanes.Enter(gone, "s"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	inside := 0
	for range 50 {
		wg.Go(func() {
			leave, err := lanes.Enter(t.Context(), "s")
			if err != nil {
				t.Error(err)
				return
			}
			inside++ // the race detector judges
			leave()
		})
	}
	leave()
	wg.Wait()
	if inside != 50 {
		t.Fatal(inside)
	}
}
