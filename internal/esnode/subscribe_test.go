package esnode_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

func TestSubscribe(t *testing.T) {
	t.Parallel()

	t.Run("to a stream, after a revision", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a", "b")
		s := r.subscribeStream("s", esdb.SubscribeToStreamOptions{From: esdb.Revision(0)})
		s.want(`1:"b"`, "caught up")
		r.mustAppend("other", "x")
		r.mustAppend("s", "c")
		s.want(`2:"c"`)
	})

	t.Run("to a stream that is not there yet", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		s := r.subscribeStream("s", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		s.want("caught up")
		r.mustAppend("s", "a")
		s.want(`0:"a"`)
	})

	t.Run("to the log, after a position", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		first := r.mustAppend("s", "a")
		r.mustAppend("t", "b")
		s := r.subscribeAll(esdb.SubscribeToAllOptions{From: esdb.Position{Commit: first.CommitPosition, Prepare: first.PreparePosition}})
		s.want(`0:"b"`, "caught up")
		r.mustAppend("s", "c")
		s.want(`1:"c"`)
	})

	t.Run("from the end", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a")
		s := r.subscribeAll(esdb.SubscribeToAllOptions{From: esdb.End{}})
		s.want("caught up")
		r.mustAppend("s", "b")
		s.want(`1:"b"`)
	})

	t.Run("with the filter that leaves out the server's own events", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a")
		var m esdb.StreamMetadata
		m.SetMaxCount(5)
		system, err := r.client.SetStreamMetadata(r.ctx, "s", esdb.AppendToStreamOptions{}, m)
		if err != nil {
			t.Fatal(err)
		}
		s := r.subscribeAll(esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: esdb.ExcludeSystemEventsFilter()})
		s.want(`0:"a"`, fmt.Sprintf("checkpoint %d/%d", system.CommitPosition, system.CommitPosition), "caught up")
		r.mustAppend("s", "b")
		s.want(`1:"b"`)
	})

	t.Run("with a filter, a window and an interval", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		s := r.subscribeAll(esdb.SubscribeToAllOptions{
			From: esdb.Start{}, MaxSearchWindow: 3, CheckpointInterval: 2,
			Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"yes"}},
		})
		s.want("caught up")
		var last *esdb.WriteResult
		for range 5 {
			r.mustAppend("no", "x")
		}
		last = r.mustAppend("yes", "a")
		s.want(`0:"a"`, fmt.Sprintf("checkpoint %d/%d", last.CommitPosition, last.CommitPosition))
	})

	t.Run("ends with the stream's tombstone", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a")
		s := r.subscribeStream("s", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		s.want(`0:"a"`, "caught up")
		if _, err := r.client.TombstoneStream(r.ctx, "s", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
			t.Fatal(err)
		}
		s.want("9223372036854775807:")
		if got := s.next(); !strings.HasPrefix(got, "dropped") || !strings.Contains(got, "FailedPrecondition") {
			t.Errorf("got %q", got)
		}
	})

	t.Run("refuses a regular expression that is not RE2", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		_, err := r.client.SubscribeToAll(r.ctx, esdb.SubscribeToAllOptions{
			Filter: &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: "(?=x)"},
		})
		if err == nil {
			t.Fatal("it was accepted")
		}
	})
}

// TestHandover subscribes while many write: each event comes once, in the log's
// order, whatever the moment.
func TestHandover(t *testing.T) {
	t.Parallel()
	const (
		writers     = 16
		each        = 40
		subscribers = 8
	)
	r := newRig(t)
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for i := range each {
				if _, err := r.append(fmt.Sprintf("s%d", w), esdb.Any{}, event(strconv.Itoa(i))); err != nil {
					t.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	seen := make([][]esdb.Position, subscribers)
	for i := range subscribers {
		running.Go(func() {
			sub, err := r.client.SubscribeToAll(r.ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}})
			if err != nil {
				t.Errorf("subscribe: %v", err)
				return
			}
			defer func() { _ = sub.Close() }()
			for len(seen[i]) < writers*each {
				e := sub.Recv()
				if e.SubscriptionDropped != nil {
					t.Errorf("subscription %d: %v", i, e.SubscriptionDropped.Error)
					return
				}
				if e.EventAppeared != nil {
					seen[i] = append(seen[i], e.EventAppeared.Event.Position)
				}
			}
		})
	}
	running.Wait()
	events, err := r.readAll(esdb.ReadAllOptions{From: esdb.Start{}}, everything)
	if err != nil {
		t.Fatal(err)
	}
	for i := range seen {
		if len(seen[i]) != len(events) {
			t.Fatalf("subscription %d saw %d events, the log has %d", i, len(seen[i]), len(events))
		}
		for k, e := range events {
			if seen[i][k] != e.Event.Position {
				t.Fatalf("subscription %d saw %v where the log has %v", i, seen[i][k], e.Event.Position)
			}
		}
	}
}
