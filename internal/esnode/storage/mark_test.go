package storage_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// killed is what a log of some commits leaves when its process is killed: nothing
// is closed, and the write-ahead log has what no table has yet.
func killed(t *testing.T) (fs *vfs.MemFS, head uint64) {
	t.Helper()
	crashing := vfs.NewCrashableMem()
	log := openOn(t, storage.Options{FS: crashing, Dir: "log"})
	for range 5 {
		head = mustPut(t, log, "s", 1)
	}
	return crashing.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))}), head
}

// stopped is what a log leaves that was opened, written and closed several times.
func stopped(t *testing.T) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	for range 4 {
		log := openOn(t, storage.Options{FS: fs, Dir: "log"})
		mustPut(t, log, "s", 1)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

// newest is the path of the newest file that is wanted.
func newest(t *testing.T, fs vfs.FS, wanted func(name string) bool) string {
	t.Helper()
	names, err := fs.List("log")
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for _, name := range names {
		if wanted(name) && name > last {
			last = name
		}
	}
	if last == "" {
		t.Fatalf("it is not among %v", names)
	}
	return fs.PathJoin("log", last)
}

// walOf is the path of the newest part of the write-ahead log.
func walOf(t *testing.T, fs vfs.FS) string {
	t.Helper()
	return newest(t, fs, func(name string) bool { return filepath.Ext(name) == ".log" })
}

// files are the names and contents of a log's folder, but for the lock.
func files(t *testing.T, fs vfs.FS) map[string]string {
	t.Helper()
	names, err := fs.List("log")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		if name != "LOCK" {
			all[name] = string(contents(t, fs, fs.PathJoin("log", name)))
		}
	}
	return all
}

func contents(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // was read
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func replace(t *testing.T, fs vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestMark(t *testing.T) {
	t.Parallel()
	const mark = "log/ACKNOWLEDGED"

	for name, damage := range map[string]func(t *testing.T, fs vfs.FS){
		"a flipped bit in the last event": func(t *testing.T, fs vfs.FS) {
			wal := walOf(t, fs)
			b := contents(t, fs, wal)
			b[bytes.LastIndex(b, []byte("s@4"))] ^= 1
			replace(t, fs, wal, b)
		},
		"a cut write-ahead log": func(t *testing.T, fs vfs.FS) {
			wal := walOf(t, fs)
			b := contents(t, fs, wal)
			replace(t, fs, wal, b[:bytes.LastIndex(b, []byte("s@4"))])
		},
		"an empty write-ahead log": func(t *testing.T, fs vfs.FS) { replace(t, fs, walOf(t, fs), nil) },
		"a missing write-ahead log": func(t *testing.T, fs vfs.FS) {
			if err := fs.Remove(walOf(t, fs)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run("finds "+name, func(t *testing.T) {
			t.Parallel()
			fs, _ := killed(t)
			damage(t, fs)
			before := files(t, fs)
			v, err := storage.Verify(t.Context(), storage.VerifyOptions{FS: fs, Dir: "log"})
			if named := errors.Join(append(v.Damage, err)...); !errors.Is(named, storage.ErrCorrupt) {
				t.Errorf("verifying it got %v", named)
			}
			_, err = storage.Open(storage.Options{FS: fs, Dir: "log", Logger: quiet})
			if !errors.Is(err, storage.ErrCorrupt) {
				t.Errorf("opening it got %v", err)
			}
			if after := files(t, fs); !maps.Equal(before, after) {
				t.Errorf("what was to be repaired is not as it was: %v, and was %v", after, before)
			}
		})
	}

	t.Run("finds any flipped bit in the manifest, or Pebble does", func(t *testing.T) {
		t.Parallel()
		manifest := func(fs vfs.FS) string {
			return newest(t, fs, func(n string) bool { return strings.HasPrefix(n, "MANIFEST-") })
		}
		sound := stopped(t)
		size := len(contents(t, sound, manifest(sound)))
		for at := 0; at < size; at += 3 {
			fs := stopped(t)
			b := contents(t, fs, manifest(fs))
			b[at] ^= 4
			replace(t, fs, manifest(fs), b)
			log, err := storage.Open(storage.Options{FS: fs, Dir: "log", Logger: quiet})
			if err == nil {
				t.Errorf("byte %d of %d: it was opened, with the head at %d", at, size, log.Head())
				_ = log.Close()
			}
		}
	})

	t.Run("finds that the files are no log any more", func(t *testing.T) {
		t.Parallel()
		for _, withMark := range []bool{true, false} {
			fs := stopped(t)
			names, err := fs.List("log")
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if strings.HasPrefix(name, "marker.manifest") || name == "ACKNOWLEDGED" && !withMark {
					if err := fs.Remove("log/" + name); err != nil {
						t.Fatal(err)
					}
				}
			}
			before := files(t, fs)
			if _, err := storage.Open(storage.Options{FS: fs, Dir: "log", Logger: quiet}); !errors.Is(err, storage.ErrCorrupt) {
				t.Errorf("opening it got %v", err)
			}
			v, err := storage.Verify(t.Context(), storage.VerifyOptions{FS: fs, Dir: "log"})
			if err != nil || len(v.Damage) != 1 {
				t.Errorf("verifying it got %+v, %v", v, err)
			}
			if after := files(t, fs); !maps.Equal(before, after) {
				t.Errorf("what was to be repaired is not as it was: %v, and was %v", after, before)
			}
		}
	})

	t.Run("is set when the log is opened", func(t *testing.T) {
		t.Parallel()
		fs := stopped(t)
		if err := fs.Remove(mark); err != nil {
			t.Fatal(err)
		}
		head := openOn(t, storage.Options{FS: fs, Dir: "log"}).Head()
		if got := binary.BigEndian.Uint64(contents(t, fs, mark)); got != head {
			t.Errorf("it is at %d, the head at %d", got, head)
		}
	})

	t.Run("is let go on purpose", func(t *testing.T) {
		t.Parallel()
		fs, _ := killed(t)
		replace(t, fs, walOf(t, fs), nil)
		_, err := storage.Open(storage.Options{FS: fs, Dir: "log", Logger: quiet})
		if err == nil || !strings.Contains(err.Error(), "remove "+mark) {
			t.Fatalf("it does not say how to go on: %v", err)
		}
		if err := fs.Remove(mark); err != nil {
			t.Fatal(err)
		}
		log := openOn(t, storage.Options{FS: fs, Dir: "log"})
		if log.Head() != 0 {
			t.Errorf("the head is at %d", log.Head())
		}
	})

	t.Run("finds nothing where nothing is lost", func(t *testing.T) {
		t.Parallel()
		fs, head := killed(t)
		for range 3 {
			log := openOn(t, storage.Options{FS: fs, Dir: "log"})
			if log.Head() != head {
				t.Fatalf("the head is at %d, want %d", log.Head(), head)
			}
			head = mustPut(t, log, "s", 1)
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})

	t.Run("that cannot be read is said, and no more", func(t *testing.T) {
		t.Parallel()
		for _, b := range [][]byte{{1, 2, 3}, make([]byte, 28)} {
			fs, head := killed(t)
			replace(t, fs, mark, b)
			var said bytes.Buffer
			log, err := storage.Open(storage.Options{FS: fs, Dir: "log", Logger: slog.New(slog.NewTextHandler(&said, nil))})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = log.Close() })
			if log.Head() != head || !strings.Contains(said.String(), mark) {
				t.Errorf("the head is at %d, want %d; it said %s", log.Head(), head, &said)
			}
		}
	})
}
