package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// VerifyOptions say what to verify. Dir is required.
type VerifyOptions struct {
	Dir    string
	FS     vfs.FS       // nil means the disk
	Logger *slog.Logger // nil means none
	// Progress, if set, hears now and then how far the step is, from 0 to 1.
	Progress func(step string, share float64)
}

// Verified is what a verification looked at, and what it found.
type Verified struct {
	Events, Streams uint64
	// Head is the last event's position, and so about the bytes of all events.
	Head uint64
	// Damage names what is not as it was written, at most MaxDamage of it.
	Damage []error
	// Truncated says that there is more damage than is named.
	Truncated bool
}

// MaxDamage bounds the damage that is named.
const MaxDamage = 100

// Verify reads a whole log that no process has open, and changes nothing. It
// checks every event's checksum; that positions have no hole; that the index names
// every event and nothing else; that revisions have no gap; and that each stream's
// state agrees with its events. The error says that it could not do so.
func Verify(ctx context.Context, o VerifyOptions) (_ Verified, err error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if _, err := o.FS.Stat(o.Dir); errors.Is(err, os.ErrNotExist) {
		return Verified{}, fmt.Errorf("%s: %w", o.Dir, ErrNoLog)
	}
	held, err := lockFolder(o.FS, o.Dir)
	if err != nil {
		return Verified{}, err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	options := Options{Dir: o.Dir, FS: o.FS, Logger: o.Logger, lock: held, readOnly: true}
	exists, lost := inspect(options)
	switch {
	case lost != nil && !errors.Is(lost, ErrCorrupt):
		return Verified{}, lost
	case lost != nil && !exists:
		return Verified{Damage: []error{lost}}, nil
	case !exists:
		return Verified{}, fmt.Errorf("%s: %w", o.Dir, ErrNoLog)
	}
	l := newLog(options)
	if err := l.openPebble(options); err != nil {
		return Verified{}, err
	}
	defer func() { err = errors.Join(err, l.db.Close()) }()
	found, err := l.readFormat()
	if err != nil {
		return Verified{}, err
	}
	v := &verification{ctx: ctx, log: l, progress: o.Progress, seed: maphash.MakeSeed()}
	if lost != nil {
		v.damage(lost)
	}
	if !found {
		v.damage(fmt.Errorf("the store has no format version: %w", ErrCorrupt))
	}
	v.foreign()
	v.events()
	v.index()
	v.states()
	if v.whole && v.inLog != v.inIndex {
		// Something is in one and not in the other; which, only look-ups tell.
		v.eventsInIndex()
		v.indexInEvents()
	}
	return v.Verified, ctx.Err()
}

// verification is one run over the log.
type verification struct {
	Verified

	ctx      context.Context
	log      *Log
	progress func(string, float64)

	// The log and the index say the same exactly if both have the same entries. Sums
	// of the entries' hashes tell that without looking up each in the other.
	seed           maphash.Seed
	inLog, inIndex entrySum
	whole          bool   // both were read to their ends
	withEvents     uint64 // streams whose states say that they have events
}

type entrySum struct{ n, sum uint64 }

func (s *entrySum) add(hash uint64) { s.n, s.sum = s.n+1, s.sum+hash }

func (v *verification) damage(err error) {
	if len(v.Damage) == MaxDamage {
		v.Truncated = true
		return
	}
	v.Damage = append(v.Damage, err)
}

func (v *verification) hash(key, value []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(v.seed)
	_, _ = h.Write(key) // never fails
	_, _ = h.Write(value)
	return h.Sum64()
}

// progressEvery is how many keys are read between two looks at the context.
const progressEvery = 1 << 14

// scan visits all keys with a prefix and reports whether it came to the end. What
// Pebble cannot read it names, and ends there.
func (v *verification) scan(prefix byte, step string, visit func(key, value []byte) (share float64)) (ended bool) {
	it, err := v.log.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefix}, UpperBound: []byte{prefix + 1}})
	if err != nil {
		v.damage(fmt.Errorf("%s: %w", step, err))
		return false
	}
	defer release(it)
	var last []byte
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			v.damage(fmt.Errorf("%s: the value of key %x cannot be read: %w", step, it.Key(), err))
			continue
		}
		share := visit(it.Key(), value)
		if n++; n%progressEvery == 0 {
			if v.ctx.Err() != nil {
				return false
			}
			if v.progress != nil {
				v.progress(step, share)
			}
		}
		last = append(last[:0], it.Key()...)
	}
	if err := it.Error(); err != nil {
		v.damage(fmt.Errorf("%s: nothing can be read behind key %x: %w", step, last, err))
		return false
	}
	return true
}

// foreign looks for keys that no log has.
func (v *verification) foreign() {
	it, err := v.log.db.NewIter(nil)
	if err != nil {
		v.damage(fmt.Errorf("look for foreign keys: %w", err))
		return
	}
	defer release(it)
	for ok := it.First(); ok; {
		key := it.Key()
		switch {
		case bytes.Equal(key, formatKey):
			ok = it.Next()
		case key[0] == eventPrefix || key[0] == indexPrefix || key[0] == streamPrefix:
			ok = it.SeekGE([]byte{key[0] + 1})
		default:
			v.damage(fmt.Errorf("key %x is not a log's: %w", key, ErrCorrupt))
			ok = it.Next()
		}
	}
	// An error shows where the keys themselves are read.
}

// events checks every event, and that each begins where the one before it ends.
func (v *verification) events() {
	end := v.lastPosition()
	expected := firstPosition
	var key, value []byte
	v.whole = v.scan(eventPrefix, "events", func(k, record []byte) float64 {
		position, err := eventKeyPosition(k)
		if err != nil {
			v.damage(err)
			return 0
		}
		if position != expected {
			v.damage(holeError(expected, position))
		}
		expected = position + uint64(len(record))
		v.Events++
		v.Head = position
		e, err := decodeRecord(position, record)
		if err != nil {
			v.damage(err)
			return 0
		}
		key, value = entryOf(&e, key, value)
		v.inLog.add(v.hash(key, value))
		return float64(position) / float64(max(end, 1))
	})
}

// entryOf is what the index must say of an event.
func entryOf(e *Event, key, value []byte) (k, v []byte) {
	return appendIndexKey(key[:0], string(e.Stream), e.Revision),
		appendIndexValue(value[:0], indexEntry{position: e.Position, created: e.Created})
}

func (v *verification) lastPosition() uint64 {
	it, err := v.log.db.NewIter(eventBounds())
	if err != nil {
		return 0 // the scan says so
	}
	defer release(it)
	if !it.Last() {
		return 0
	}
	position, _ := eventKeyPosition(it.Key()) // the scan says so
	return position
}

// index checks every entry, that revisions have no gap, and what the streams'
// states say of them.
func (v *verification) index() {
	var name string
	next := uint64(0) // the revision that is due
	tombstoned, any := false, false
	end := func() {
		if any {
			v.Streams++
			v.state(name, int64(next)-1, tombstoned)
		}
	}
	ended := v.scan(indexPrefix, "index", func(key, value []byte) float64 {
		n, revision, err := parseIndexKey(key)
		if err != nil {
			v.damage(err)
			return 0
		}
		if !any || string(n) != name {
			end()
			name, next, tombstoned, any = string(n), 0, false, true
		}
		switch {
		case revision == TombstoneRevision:
			tombstoned = true
		case revision != next:
			v.damage(fmt.Errorf("stream %q has revision %d where %d is due: %w", name, revision, next, ErrCorrupt))
			next = revision + 1
		default:
			next++
		}
		if _, err := decodeIndexValue(value); err != nil {
			v.damage(fmt.Errorf("event %d of stream %q: %w", revision, name, err))
		}
		v.inIndex.add(v.hash(key, value))
		return float64(v.inIndex.n) / float64(max(v.Events, 1))
	})
	end()
	v.whole = v.whole && ended
}

func parseIndexKey(key []byte) (name []byte, revision uint64, err error) {
	if len(key) < indexKeyLen("") || int(binary.BigEndian.Uint32(key[1:])) != len(key)-indexKeyLen("") {
		return nil, 0, fmt.Errorf("index key %x: %w", key, ErrCorrupt)
	}
	return key[5 : len(key)-8], indexKeyRevision(key), nil
}

// state compares a stream's state with its index.
func (v *verification) state(name string, last int64, tombstoned bool) {
	s, err := v.log.stream(name)
	switch {
	case err != nil:
		v.damage(err)
	case s.Last != last || s.Tombstoned != tombstoned:
		v.damage(fmt.Errorf("the state of stream %q says revision %d (tombstoned: %t), its index %d (%t): %w",
			name, s.Last, s.Tombstoned, last, tombstoned, ErrCorrupt))
	}
}

// states looks for states of streams that the index does not know.
func (v *verification) states() {
	check := func(visit func(name string, s Stream)) {
		v.scan(streamPrefix, "streams", func(key, value []byte) float64 {
			s, err := decodeStream(string(key[1:]), value)
			if err != nil {
				v.damage(err)
			} else if s.Last != NoRevision || s.Tombstoned {
				visit(string(key[1:]), s)
			}
			return float64(v.withEvents) / float64(max(v.Streams, 1))
		})
	}
	damaged := len(v.Damage)
	check(func(name string, s Stream) {
		v.withEvents++
		if s.At > v.Head {
			v.damage(fmt.Errorf("the state of stream %q rests on position %d, the log ends at %d: %w", name, s.At, v.Head, ErrCorrupt))
		}
	})
	if v.withEvents == v.Streams || !v.whole || len(v.Damage) > damaged {
		return
	}
	check(func(name string, s Stream) {
		revision := uint64(s.Last)
		if s.Last == NoRevision {
			revision = TombstoneRevision
		}
		v.get(appendIndexKey(nil, name, revision), func([]byte) error { return nil }, missingError(name, revision))
	})
}

// get looks up a key and has its value checked.
func (v *verification) get(key []byte, check func([]byte) error, missing error) {
	value, closer, err := v.log.db.Get(key)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		v.damage(missing)
		return
	case err != nil:
		v.damage(err)
		return
	}
	defer release(closer)
	if err := check(value); err != nil {
		v.damage(err)
	}
}

func (v *verification) eventsInIndex() {
	var key, value []byte
	v.scan(eventPrefix, "events in the index", func(k, record []byte) float64 {
		position, err := eventKeyPosition(k)
		if err != nil {
			return 0 // was named
		}
		e, err := decodeRecord(position, record)
		if err != nil {
			return 0 // was named
		}
		key, value = entryOf(&e, key, value)
		v.get(key, func(found []byte) error {
			if !bytes.Equal(found, value) {
				return fmt.Errorf("the index has another place for event %d of stream %q than %d: %w", e.Revision, e.Stream, position, ErrCorrupt)
			}
			return nil
		}, fmt.Errorf("the index has no event %d of stream %q, which is at %d: %w", e.Revision, e.Stream, position, ErrCorrupt))
		return float64(position) / float64(max(v.Head, 1))
	})
}

func (v *verification) indexInEvents() {
	n := uint64(0)
	v.scan(indexPrefix, "index in the events", func(key, value []byte) float64 {
		n++
		name, revision, err := parseIndexKey(key)
		if err != nil {
			return 0 // was named
		}
		entry, err := decodeIndexValue(value)
		if err != nil {
			return 0 // was named
		}
		stream := string(name)
		v.get(appendEventKey(nil, entry.position), func(record []byte) error {
			e, err := decodeRecord(entry.position, record)
			if err != nil {
				return nil //nolint:nilerr // was named
			}
			if e.Revision != revision || string(e.Stream) != stream {
				return strayError(stream, revision, &e)
			}
			return nil
		}, fmt.Errorf("the index has event %d of stream %q at %d, where the log has none: %w", revision, stream, entry.position, ErrCorrupt))
		return float64(n) / float64(max(v.inIndex.n, 1))
	})
}
