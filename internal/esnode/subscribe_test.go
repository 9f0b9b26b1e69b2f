package esnode_test

import (
	"fmt"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

func TestSubscribe(t *testing.T) {
	t.Parallel()

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
