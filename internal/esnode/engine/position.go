package engine

import "math"

// Position is a place in the log as clients know it: a pair, ordered
// lexicographically. An event's own has equal halves; a client may bring any
// pair, since another server's checkpoints need not be events' positions.
type Position struct{ Commit, Prepare uint64 }

// at is the position of an event that the log has at p.
func at(p uint64) Position { return Position{Commit: p, Prepare: p} }

// from is the least log position of an event at or after p, and false if there
// can be none.
func (p Position) from() (uint64, bool) {
	if p.Prepare <= p.Commit {
		return p.Commit, true
	}
	return p.Commit + 1, p.Commit < math.MaxUint64
}

// after is the least log position of an event after p, and false if there can
// be none.
func (p Position) after() (uint64, bool) {
	if p.Prepare < p.Commit {
		return p.Commit, true
	}
	return p.Commit + 1, p.Commit < math.MaxUint64
}

// before is the greatest log position of an event before p, and false if there
// can be none.
func (p Position) before() (uint64, bool) {
	if p.Prepare > p.Commit {
		return p.Commit, true
	}
	if p.Commit == 0 {
		return 0, false
	}
	return p.Commit - 1, true
}
