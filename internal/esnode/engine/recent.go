package engine

import (
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// recentCount bounds the ids remembered for appends that name no revision. An
// entry takes about 150 bytes, so that all take about the 8 MB that a real
// server spends on it.
const recentCount = 50_000

type streamEvent struct {
	stream string
	id     [16]byte
}

// recentIDs remembers which of the latest events have which ids. It is only
// used under the log's writer. It starts empty: an append without an exact
// revision is idempotent only while the server remembers it.
type recentIDs struct {
	revisions *lru.Cache[streamEvent, uint64]
}

func newRecentIDs() *recentIDs {
	c, err := lru.New[streamEvent, uint64](recentCount)
	if err != nil {
		panic(err) // only for a size below one
	}
	return &recentIDs{revisions: c}
}

// add remembers events, the last of which has the given revision.
func (r *recentIDs) add(stream string, last int64, events []storage.NewEvent) {
	first := uint64(last) + 1 - uint64(len(events))
	for i := range events {
		r.revisions.Add(streamEvent{stream, events[i].ID}, first+uint64(i))
	}
}

func (r *recentIDs) revision(stream string, id [16]byte) (uint64, bool) {
	return r.revisions.Get(streamEvent{stream, id})
}
