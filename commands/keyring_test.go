package commands

import (
	"encoding/json"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

func at(n int) eventlog.Position { return eventlog.Position{Commit: uint64(n), Prepare: uint64(n)} }

// The ring knows the last 256 commands at least, knows whether it knows all, says
// from where on it knows every one, and is the same after a snapshot.
func TestTheRingAgainstAList(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var ring *keyRing
		n := rapid.IntRange(0, 900).Draw(rt, "commands")
		for i := range n {
			for range 1 + i%3 { // further events of a command are no news
				ring = ring.with(fmt.Sprint("k", i), fmt.Sprint("i", i), int64(10*i), at(i+1))
			}
		}
		if rapid.Bool().Draw(rt, "through a snapshot") {
			raw, err := json.Marshal(ring)
			if err != nil {
				rt.Fatal(err)
			}
			var back *keyRing
			if err := json.Unmarshal(raw, &back); err != nil {
				rt.Fatal(err)
			}
			ring = back
		}
		if ring.len() < min(n, ringSize) || ring.len() > 2*ringSize {
			rt.Fatalf("the ring has %d of %d", ring.len(), n)
		}
		if ring.complete() != (ring.len() == n) {
			rt.Fatalf("complete: %v with %d of %d", ring.complete(), ring.len(), n)
		}
		oldest := n - ring.len()
		if n > 0 && ring.oldest() != at(oldest+1) {
			rt.Fatalf("the oldest is at %s, want %s", ring.oldest(), at(oldest+1))
		}
		for i := range n {
			k, found := ring.find(fmt.Sprint("k", i))
			if found != (i >= oldest) || found && (k.revision != int64(10*i) || k.input != fmt.Sprint("i", i)) {
				rt.Fatalf("command %d of %d: found %v %+v", i, n, found, k)
			}
		}
	})
}

func TestTheOldestPositionIsTheOldestKnown(t *testing.T) {
	t.Parallel()
	var ring *keyRing
	if !ring.oldest().IsZero() {
		t.Error("an empty ring has an oldest position")
	}
	ring = ring.with("a", "", 0, eventlog.Position{})
	if !ring.oldest().IsZero() {
		t.Error("a position is known that nobody told")
	}
	ring = ring.with("b", "", 1, at(5)).with("c", "", 2, at(7))
	if ring.oldest() != at(5) {
		t.Errorf("the oldest is %s", ring.oldest())
	}
}

// Sharing a ring must not show what was added to one in another.
func TestRingsAreShared(t *testing.T) {
	t.Parallel()
	base := (*keyRing)(nil).with("a", "", 0, at(1))
	one, two := base.with("b", "", 1, at(2)), base.with("c", "", 1, at(2))
	if _, found := one.find("c"); found {
		t.Error("one ring shows the other's command")
	}
	if _, found := two.find("b"); found || base.len() != 1 {
		t.Error("adding changed what was there")
	}
}
