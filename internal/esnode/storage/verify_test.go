package storage_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// filled makes a closed log of three streams, one of them closed for ever, and a
// state without events.
func filled(t *testing.T) (fs *vfs.MemFS, positions []uint64) {
	t.Helper()
	fs = vfs.NewMem()
	log := openOn(t, storage.Options{FS: fs, Dir: "log"})
	mustPut(t, log, "a", 3)
	mustPut(t, log, "ab", 2)
	if err := log.Commit(t.Context(), func(tx *storage.Tx) error {
		tx.Put("ab", storage.TombstoneRevision, eventOf("ab", 9))
		tx.PutStream("ab", storage.Stream{Last: 1, Tombstoned: true})
		tx.PutStream("unborn", storage.Stream{Last: storage.NoRevision, Retention: storage.Retention{MaxCount: 1}})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	mustPut(t, log, "b", 1)
	for _, e := range mustAll(t, log) {
		positions = append(positions, e.Position)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return fs, positions
}

func verify(t *testing.T, fs vfs.FS) storage.Verified {
	t.Helper()
	v, err := storage.Verify(t.Context(), storage.VerifyOptions{Dir: "log", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerify(t *testing.T) {
	t.Parallel()

	t.Run("finds nothing in a whole log, and changes nothing", func(t *testing.T) {
		t.Parallel()
		fs, _ := filled(t)
		before, err := fs.List("log")
		if err != nil {
			t.Fatal(err)
		}
		v := verify(t, fs)
		if v.Events != 7 || v.Streams != 3 || v.Head == 0 || len(v.Damage) != 0 {
			t.Errorf("got %+v", v)
		}
		after, err := fs.List("log")
		slices.Sort(before)
		slices.Sort(after)
		if err != nil || !slices.Equal(before, after) {
			t.Errorf("%v became %v, %v", before, after, err)
		}
	})

	t.Run("reads what a killed process left in its log of writes", func(t *testing.T) {
		t.Parallel()
		fs := vfs.NewCrashableMem()
		log := openOn(t, storage.Options{FS: fs, Dir: "log"})
		mustPut(t, log, "a", 3)
		if v := verify(t, fs.CrashClone(vfs.CrashCloneCfg{})); v.Events != 3 || len(v.Damage) != 0 {
			t.Errorf("got %+v", v)
		}
	})

	t.Run("refuses what is no log, and one in use", func(t *testing.T) {
		t.Parallel()
		fs := vfs.NewMem()
		if _, err := storage.Verify(t.Context(), storage.VerifyOptions{Dir: "log", FS: fs}); !errors.Is(err, storage.ErrNoLog) {
			t.Errorf("no folder: %v", err)
		}
		if err := fs.MkdirAll("log", 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := storage.Verify(t.Context(), storage.VerifyOptions{Dir: "log", FS: fs}); !errors.Is(err, storage.ErrNoLog) {
			t.Errorf("an empty folder: %v", err)
		}
		openOn(t, storage.Options{FS: fs, Dir: "log"})
		if _, err := storage.Verify(t.Context(), storage.VerifyOptions{Dir: "log", FS: fs}); !errors.Is(err, storage.ErrInUse) {
			t.Errorf("a log in use: %v", err)
		}
		if _, err := storage.Open(storage.Options{FS: fs, Dir: "log", Logger: quiet}); !errors.Is(err, storage.ErrInUse) {
			t.Errorf("a log in use is opened again: %v", err)
		}
	})
}

// Every kind of damage is named, and nothing else is.
func TestVerifyNamesDamage(t *testing.T) {
	t.Parallel()
	eventKey := func(p uint64) []byte { return binary.BigEndian.AppendUint64([]byte("e"), p) }
	indexKey := func(stream string, revision uint64) []byte {
		key := binary.BigEndian.AppendUint32([]byte("s"), uint32(len(stream)))
		return binary.BigEndian.AppendUint64(append(key, stream...), revision)
	}
	flip := func(db *pebble.DB, key []byte) error {
		value, closer, err := db.Get(key)
		if err != nil {
			return err
		}
		changed := slices.Clone(value)
		changed[len(changed)-1] ^= 1
		return errors.Join(closer.Close(), db.Set(key, changed, pebble.Sync))
	}
	move := func(db *pebble.DB, from, to []byte) error {
		value, closer, err := db.Get(from)
		if err != nil {
			return err
		}
		return errors.Join(db.Set(to, slices.Clone(value), pebble.Sync), closer.Close())
	}
	for name, test := range map[string]struct {
		change func(db *pebble.DB, p []uint64) error
		names  []string
	}{
		"a changed event": {
			func(db *pebble.DB, p []uint64) error { return flip(db, eventKey(p[1])) },
			[]string{"record at {second} fails its checksum"},
		},
		"a lost event": {
			func(db *pebble.DB, p []uint64) error { return db.Delete(eventKey(p[1]), pebble.Sync) },
			[]string{"no event at {second}, the next is at {third}", `event 1 of stream "a" at {second}, where the log has none`},
		},
		"a lost index entry": {
			func(db *pebble.DB, _ []uint64) error { return db.Delete(indexKey("a", 1), pebble.Sync) },
			[]string{`stream "a" has revision 2 where 1 is due`, `the index has no event 1 of stream "a", which is at {second}`},
		},
		"a lost last index entry": {
			func(db *pebble.DB, _ []uint64) error { return db.Delete(indexKey("a", 2), pebble.Sync) },
			[]string{`the state of stream "a" says revision 2`, `the index has no event 2 of stream "a", which is at {third}`},
		},
		"a changed index entry": {
			func(db *pebble.DB, _ []uint64) error { return flip(db, indexKey("a", 1)) },
			[]string{`event 1 of stream "a": index entry`, `another place for event 1 of stream "a" than {second}`},
		},
		"an index entry of another event": {
			func(db *pebble.DB, _ []uint64) error { return move(db, indexKey("a", 0), indexKey("a", 1)) },
			[]string{`another place for event 1 of stream "a" than {second}`, `in place of event 1 of stream "a" lies event 0 of "a"`},
		},
		"an index entry too many": {
			func(db *pebble.DB, _ []uint64) error { return move(db, indexKey("a", 2), indexKey("a", 3)) },
			[]string{`the state of stream "a" says revision 2`, `in place of event 3 of stream "a" lies event 2 of "a"`},
		},
		"a lost stream in the index": {
			func(db *pebble.DB, _ []uint64) error { return db.Delete(indexKey("b", 0), pebble.Sync) },
			[]string{`event 0 of stream "b" is missing`, `the index has no event 0 of stream "b"`},
		},
		"a lost state": {
			func(db *pebble.DB, _ []uint64) error { return db.Delete([]byte("ma"), pebble.Sync) },
			[]string{`the state of stream "a" says revision -1`},
		},
		"a changed state": {
			func(db *pebble.DB, _ []uint64) error { return flip(db, []byte("ma")) },
			[]string{`state of stream "a" fails its checksum`, `state of stream "a" fails its checksum`},
		},
		"a foreign key": {
			func(db *pebble.DB, _ []uint64) error { return db.Set([]byte("x"), nil, pebble.Sync) },
			[]string{"key 78 is not a log's"},
		},
		"no format": {
			func(db *pebble.DB, _ []uint64) error { return db.Delete([]byte("f"), pebble.Sync) },
			[]string{"no format version"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs, p := filled(t)
			edit(t, fs, func(db *pebble.DB) error { return test.change(db, p) })
			v := verify(t, fs)
			places := strings.NewReplacer("{second}", strconv.FormatUint(p[1], 10), "{third}", strconv.FormatUint(p[2], 10))
			if len(v.Damage) != len(test.names) {
				t.Fatalf("got %v", v.Damage)
			}
			for i, want := range test.names {
				want = places.Replace(want)
				if !strings.Contains(v.Damage[i].Error(), want) {
					t.Errorf("damage %d is %q, want %q", i, v.Damage[i], want)
				}
			}
		})
	}
}
