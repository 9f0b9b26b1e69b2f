package storage

import (
	lru "github.com/hashicorp/golang-lru/v2"
)

// stateCount bounds the stream states kept in memory, of about 200 bytes each.
const stateCount = 8192

// states caches streams as the writer left them. Only the writer puts states
// in, when their commit is applied, so that a state found here is always the
// newest: a reader that filled the cache could put back one that the writer has
// just replaced.
type states struct {
	cache *lru.Cache[string, Stream]
}

func newStates() states {
	c, err := lru.New[string, Stream](stateCount)
	if err != nil {
		panic(err) // only for a size below one
	}
	return states{c}
}

func (s states) get(name string) (Stream, bool) { return s.cache.Get(name) }

func (s states) put(name string, state Stream) { s.cache.Add(name, state) }
