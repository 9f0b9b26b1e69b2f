package storage_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// Pebble's own checksums find what rots in its files. These tests are about what
// gets past them: bytes that were wrong when they reached Pebble, and records
// that are missing or in another's place.
func TestCorruption(t *testing.T) {
	t.Parallel()

	const stream = "s"
	// keys of the third of five events
	eventKey := func(position uint64) []byte { return binary.BigEndian.AppendUint64([]byte("e"), position) }
	indexKey := binary.BigEndian.AppendUint64([]byte("s\x00\x00\x00\x01s"), 2)
	stateKey := []byte("ms")

	// broken makes a log of five events and changes its store.
	broken := func(t *testing.T, change func(db *pebble.DB, positions []uint64) error) *storage.Log {
		t.Helper()
		fs := vfs.NewMem()
		log := openOn(t, storage.Options{FS: fs, Dir: "log"})
		mustPut(t, log, stream, 5)
		var positions []uint64
		for _, e := range mustAll(t, log) {
			positions = append(positions, e.Position)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, fs, func(db *pebble.DB) error { return change(db, positions) })
		return openOn(t, storage.Options{FS: fs, Dir: "log"})
	}
	flip := func(db *pebble.DB, key []byte, bit int) error {
		value, closer, err := db.Get(key)
		if err != nil {
			return err
		}
		changed := slices.Clone(value)
		changed[bit/8] ^= 1 << (bit % 8)
		return errors.Join(closer.Close(), db.Set(key, changed, pebble.Sync))
	}
	scans := func(log *storage.Log) map[string]error {
		keep := func(*storage.Event) bool { return true }
		_, forward := all(log)
		_, back := log.ScanAllBack(log.Head(), keep)
		_, streamForward := log.ScanStream(stream, 0, 4, 0, keep)
		_, _, streamBack := log.ScanStreamBack(stream, 4, 0, 0, keep)
		return map[string]error{"all": forward, "all back": back, "stream": streamForward, "stream back": streamBack}
	}
	expect := func(t *testing.T, errs map[string]error) {
		t.Helper()
		for scan, err := range errs {
			if !errors.Is(err, storage.ErrCorrupt) {
				t.Errorf("%s: got %v, want an error that says corrupt", scan, err)
			}
		}
	}

	t.Run("in any bit of an event is found", func(t *testing.T) {
		t.Parallel()
		const bits = 8 * (50 + 1 + 4 + 1 + 3) // header, stream, type, metadata, data
		for bit := 0; bit < bits; bit += 11 {
			log := broken(t, func(db *pebble.DB, p []uint64) error { return flip(db, eventKey(p[2]), bit) })
			expect(t, scans(log))
			if _, _, err := log.Event(stream, 2); !errors.Is(err, storage.ErrCorrupt) {
				t.Errorf("bit %d: event 2: got %v", bit, err)
			}
			if _, _, err := log.Event(stream, 1); err != nil {
				t.Errorf("bit %d: event 1 is sound: got %v", bit, err)
			}
		}
	})

	t.Run("in any bit of an index entry is found", func(t *testing.T) {
		t.Parallel()
		for bit := 0; bit < 8*20; bit += 7 {
			log := broken(t, func(db *pebble.DB, _ []uint64) error { return flip(db, indexKey, bit) })
			errs := scans(log)
			delete(errs, "all")
			delete(errs, "all back")
			expect(t, errs)
		}
	})

	t.Run("in any bit of a stream's state is found", func(t *testing.T) {
		t.Parallel()
		for bit := 0; bit < 8*46; bit += 11 {
			log := broken(t, func(db *pebble.DB, _ []uint64) error { return flip(db, stateKey, bit) })
			if _, err := log.Stream(t.Context(), stream); !errors.Is(err, storage.ErrCorrupt) {
				t.Errorf("bit %d: got %v", bit, err)
			}
			if _, err := put(t.Context(), log, stream, 1); !errors.Is(err, storage.ErrCorrupt) {
				t.Errorf("bit %d: an append got %v", bit, err)
			}
		}
	})

	t.Run("by a missing event is found", func(t *testing.T) {
		t.Parallel()
		log := broken(t, func(db *pebble.DB, p []uint64) error { return db.Delete(eventKey(p[2]), pebble.Sync) })
		expect(t, scans(log))
	})

	t.Run("by a missing event is found by a page that begins behind it", func(t *testing.T) {
		t.Parallel()
		var fourth uint64
		log := broken(t, func(db *pebble.DB, p []uint64) error {
			fourth = p[3]
			return db.Delete(eventKey(p[2]), pebble.Sync)
		})
		_, err := log.ScanAll(fourth, log.Head(), func(*storage.Event) bool { return true })
		expect(t, map[string]error{"all": err})
	})

	t.Run("by a missing first event is found", func(t *testing.T) {
		t.Parallel()
		log := broken(t, func(db *pebble.DB, p []uint64) error { return db.Delete(eventKey(p[0]), pebble.Sync) })
		expect(t, scans(log))
	})

	t.Run("by a missing index entry is found", func(t *testing.T) {
		t.Parallel()
		log := broken(t, func(db *pebble.DB, _ []uint64) error { return db.Delete(indexKey, pebble.Sync) })
		errs := scans(log)
		delete(errs, "all")
		delete(errs, "all back")
		expect(t, errs)
	})

	t.Run("by an event in another's place is found", func(t *testing.T) {
		t.Parallel()
		log := broken(t, func(db *pebble.DB, p []uint64) error {
			other, closer, err := db.Get(eventKey(p[1]))
			if err != nil {
				return err
			}
			return errors.Join(db.Set(eventKey(p[2]), slices.Clone(other), pebble.Sync), closer.Close())
		})
		expect(t, scans(log))
	})

	t.Run("of the last event keeps the log from opening", func(t *testing.T) {
		t.Parallel()
		fs := vfs.NewMem()
		log := openOn(t, storage.Options{FS: fs, Dir: "log"})
		last := mustPut(t, log, stream, 2)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, fs, func(db *pebble.DB) error { return flip(db, eventKey(last), 100) })
		if _, err := storage.Open(storage.Options{FS: fs, Dir: "log", Logger: quiet}); !errors.Is(err, storage.ErrCorrupt) {
			t.Fatalf("got %v", err)
		}
	})
}
