// Package storage is an append-only log of events, kept in Pebble.
//
// It knows positions, streams, revisions and durability, and nothing of what
// events mean: who may append what is decided by the caller, inside Commit.
//
// Three sets of keys hold everything, each written in the same atomic batch as
// the events it describes, so that there is no second truth:
//
//	f                                 the format version
//	e  position                       the event, checksummed: this is the whole log
//	s  len(name) name revision        the event's position and time
//	m  name                           the stream's last revision and retention
//
// # Positions
//
// An event's position is the offset of its record in the log: one past the
// record before it. So positions rise strictly, are not dense, need no counter
// of their own (the last key gives the next position), and a missing record
// shows: a scan that meets a hole fails with ErrCorrupt and never skips it.
//
// # Durability
//
// Pebble shows a batch before its write-ahead log is synced. The published head
// is the last position known to be synced, and nothing beyond it is ever shown:
// not to readers, not to subscribers, and no reply rests on it. One goroutine
// decides and writes; the commits that come during a sync are its next batch.
package storage
