package storage

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// inspect looks for damage that Pebble takes for what a crash leaves, before
// Pebble opens the log for writing: it would remove what it does not know, and with
// it what is left to repair from. It changes nothing, and tells whether there is a
// log at all. An error that matches ErrCorrupt names the damage.
func inspect(o Options) (exists bool, err error) {
	m, err := readMark(o.FS, o.Dir, o.Logger)
	if err != nil {
		return false, err
	}
	there, err := pebble.Peek(o.Dir, o.FS)
	if err != nil {
		return false, fmt.Errorf("look into %s: %w", o.Dir, err)
	}
	if !there.Exists {
		return false, noRemains(o, m)
	}
	if err := checkManifest(o.FS, there.ManifestFilename, m); err != nil {
		return true, err
	}
	return true, checkEnd(o, m)
}

// noRemains refuses a folder that has lost the marker which says which of its files
// are the log's.
func noRemains(o Options, m marked) error {
	names, err := o.FS.List(o.Dir)
	if err != nil {
		return fmt.Errorf("look into %s: %w", o.Dir, err)
	}
	for _, name := range names {
		if isTable(name) || m.position > 0 {
			return fmt.Errorf("%s holds a log's files, but not the one that says which of them are current (marker.manifest…): "+
				"restore a backup: %w", o.Dir, ErrCorrupt)
		}
	}
	return nil
}

// checkManifest compares how far Pebble's list of its files can be read with how
// far it was synced.
func checkManifest(fs vfs.FS, path string, m marked) error {
	if number, ok := manifestNumber(path); !ok || number != m.manifest {
		return nil // a crash between the making of a new one and its first sync
	}
	file, err := fs.Open(path)
	if err != nil {
		return fmt.Errorf("open the store's manifest: %w", err)
	}
	defer release(file)
	r := record.NewReader(file, 0)
	read := int64(0)
	for {
		next, err := r.Next()
		if err == nil {
			_, err = io.Copy(io.Discard, next)
		}
		if err != nil {
			break // its end, or what Pebble takes for it
		}
		read = r.Offset()
	}
	if uint64(read) < m.listed {
		return fmt.Errorf("%s can be read up to byte %d, but %d bytes of it were durable: the list of the log's files is damaged; "+
			"restore a backup: %w", path, read, m.listed, ErrCorrupt)
	}
	return nil
}

const manifestPrefix = "MANIFEST-"

// manifestNumber is false for a file that is no manifest.
func manifestNumber(path string) (uint64, bool) {
	digits, ok := strings.CutPrefix(filepath.Base(path), manifestPrefix)
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && err == nil
}

// checkEnd compares the log's end with what was acknowledged.
func checkEnd(o Options, m marked) (err error) {
	if m.position == 0 {
		return nil
	}
	o.readOnly = true
	l := newLog(o)
	if err := l.openPebble(o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.db.Close()) }()
	if err := l.findEnd(); err != nil {
		return err
	}
	if l.last < m.position {
		return fmt.Errorf("the log ends with the event at %d, but one at %d was acknowledged: its write-ahead log is damaged or missing; "+
			"restore a backup, or remove %s to go on without what is lost: %w",
			l.last, m.position, o.FS.PathJoin(o.Dir, markName), ErrCorrupt)
	}
	return nil
}
