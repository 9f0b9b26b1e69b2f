// Package backup copies an event store's log, running or not, puts a copy in
// place, and proves that a copy is whole.
//
// A backup is a folder: the log's files, and a list of them with their sizes and
// digests, written last. A folder without the list is not a backup: what was
// interrupted is never taken for whole, and a file that is lost or damaged on the
// way is named.
package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// listName is the file that makes a folder a backup.
const listName = "backup.json"

const listFormat = 1

// partial ends the names of folders that are being written.
const partial = ".partial"

var (
	// ErrNotEmpty says that the target holds something already.
	ErrNotEmpty = errors.New("the folder is not empty")
	// ErrNoBackup says that a folder is not a backup, or an unfinished one.
	ErrNoBackup = errors.New("the folder is not a whole backup: it has no " + listName)
	// ErrDamaged says that a backup's files are not those that were written.
	ErrDamaged = errors.New("the backup is damaged")
)

// List is what a backup says of itself.
type List struct {
	Format  int       `json:"format"`
	Made    time.Time `json:"made"`
	Running bool      `json:"running"` // made while the event store ran
	Files   []File    `json:"files"`
}

// File is one file of a backup.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Bytes is the size of all files.
func (l List) Bytes() (n int64) {
	for _, f := range l.Files {
		n += f.Bytes
	}
	return n
}

// Progress hears how many of all bytes are done. It may be nil.
type Progress func(done, total int64)

// Create makes a backup of the log in dir in the folder target, which must not
// exist or be empty. If a node has the log open it is asked for a checkpoint, which
// holds everything that was acknowledged before; else the log stays closed to
// others until it is copied. When Create fails, target is not there.
func Create(ctx context.Context, dir, target string, progress Progress) (List, error) {
	list := List{Format: listFormat, Made: time.Now().UTC().Truncate(time.Second)}
	source := dir
	held, err := storage.Lock(vfs.Default, dir)
	switch {
	case err == nil:
		defer func() { _ = held.Close() }() // gives the lock back
	case errors.Is(err, storage.ErrInUse):
		checkpoint, release, askErr := esnode.Checkpoint(ctx, dir)
		if errors.Is(askErr, esnode.ErrNotRunning) {
			return List{}, fmt.Errorf("%w, which does not take backups; stop it first", err)
		}
		if askErr != nil {
			return List{}, askErr
		}
		defer release()
		source, list.Running = checkpoint, true
	default:
		return List{}, err
	}
	err = fill(dir, target, func(into string) error {
		if list.Files, err = filesOf(source); err != nil {
			return err
		}
		if err := copyFiles(ctx, source, into, list.Files, progress); err != nil {
			return err
		}
		return writeList(into, list)
	})
	return list, err
}

// Restore puts a backup in place as the log in dir, which must not exist or be
// empty. Every file is compared with the backup's list while it is copied. When
// Restore fails, dir is as it was.
func Restore(ctx context.Context, backup, dir string, progress Progress) (List, error) {
	list, err := ReadList(backup)
	if err != nil {
		return List{}, err
	}
	err = fill(backup, dir, func(into string) error {
		copied := slices.Clone(list.Files)
		if err := copyFiles(ctx, backup, into, copied, progress); err != nil {
			return err
		}
		return compare(list.Files, copied)
	})
	return list, err
}

// Check compares a backup's files with its list.
func Check(ctx context.Context, backup string, progress Progress) (List, error) {
	list, err := ReadList(backup)
	if err != nil {
		return List{}, err
	}
	found := slices.Clone(list.Files)
	if err := copyFiles(ctx, backup, "", found, progress); err != nil {
		return list, err
	}
	return list, compare(list.Files, found)
}

// ReadList reads what a backup says of itself.
func ReadList(backup string) (List, error) {
	text, err := os.ReadFile(filepath.Join(backup, listName)) //nolint:gosec // the operator names the folder
	if errors.Is(err, os.ErrNotExist) {
		return List{}, fmt.Errorf("%s: %w", backup, ErrNoBackup)
	}
	if err != nil {
		return List{}, fmt.Errorf("read the backup's list: %w", err)
	}
	var l List
	if err := json.Unmarshal(text, &l); err != nil {
		return List{}, fmt.Errorf("%s: its list cannot be read: %w (%w)", backup, ErrDamaged, err)
	}
	if l.Format != listFormat {
		return List{}, fmt.Errorf("%s has format %d, this program reads %d", backup, l.Format, listFormat)
	}
	for _, f := range l.Files {
		if f.Name != filepath.Base(f.Name) || strings.HasPrefix(f.Name, ".") {
			return List{}, fmt.Errorf("%s: its list names the file %q: %w", backup, f.Name, ErrDamaged)
		}
	}
	return l, nil
}

func writeList(dir string, l List) error {
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("write the backup's list: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, listName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the backup's list: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the backup's list: %w", err)
	}
	return nil
}

// compare names the first file that is not as it should be.
func compare(want, got []File) error {
	for i, w := range want {
		if got[i] != w {
			return fmt.Errorf("%s has %d bytes with digest %.16s…, not %d with %.16s…: %w",
				w.Name, got[i].Bytes, got[i].SHA256, w.Bytes, w.SHA256, ErrDamaged)
		}
	}
	return nil
}

// filesOf lists a log's files.
func filesOf(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the log's files: %w", err)
	}
	var files []File
	for _, e := range entries {
		if esnode.IsTransient(e.Name()) || e.Name() == listName {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("list the log's files: %w", err)
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a file of a log; move it out of the folder", filepath.Join(dir, e.Name()))
		}
		files = append(files, File{Name: e.Name(), Bytes: info.Size()})
	}
	return files, nil
}

// copyFiles copies files durably, and notes their sizes and digests as copied.
// Without a target it only reads them.
func copyFiles(ctx context.Context, from, into string, files []File, progress Progress) error {
	done, total := int64(0), List{Files: files}.Bytes()
	for i := range files {
		digest := sha256.New()
		n, err := copyFile(ctx, filepath.Join(from, files[i].Name), into, io.MultiWriter(digest, counter(func(n int) {
			done += int64(n)
			if progress != nil {
				progress(done, total)
			}
		})))
		if err != nil {
			return err
		}
		files[i].Bytes, files[i].SHA256 = n, hex.EncodeToString(digest.Sum(nil))
	}
	return nil
}

type counter func(int)

func (c counter) Write(p []byte) (int, error) {
	c(len(p))
	return len(p), nil
}

func copyFile(ctx context.Context, path, into string, also io.Writer) (n int64, err error) {
	source, err := os.Open(path) //nolint:gosec // a file of the folder that the operator names
	if errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("%s is missing: %w", path, ErrDamaged)
	}
	if err != nil {
		return 0, fmt.Errorf("copy the log: %w", err)
	}
	defer func() { _ = source.Close() }() // it was only read
	if into == "" {
		n, err = io.Copy(also, reader{ctx, source})
	} else {
		var target *os.File
		target, err = os.OpenFile(filepath.Join(into, filepath.Base(path)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil {
			n, err = io.Copy(io.MultiWriter(target, also), reader{ctx, source})
			err = errors.Join(err, target.Sync(), target.Close())
		}
	}
	if err != nil {
		return n, fmt.Errorf("copy %s: %w", path, err)
	}
	return n, nil
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
