package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	// ErrNoLog says that a folder holds no log.
	ErrNoLog = errors.New("there is no log in the folder")
	// ErrInUse says that a process has the folder's log open.
	ErrInUse = errors.New("the log is in use by a running process")
)

// Lock keeps everybody else from opening the log in a folder until it is closed.
// It fails with ErrNoLog or ErrInUse.
func Lock(disk vfs.FS, dir string) (io.Closer, error) { return lock(disk, dir) }

func lock(disk vfs.FS, dir string) (*pebble.Lock, error) {
	there, err := pebble.Peek(dir, disk)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", dir, ErrNoLog)
	case err != nil:
		return nil, fmt.Errorf("look into %s: %w", dir, err)
	case !there.Exists:
		return nil, fmt.Errorf("%s: %w", dir, ErrNoLog)
	}
	return lockFolder(disk, dir)
}

func lockFolder(disk vfs.FS, dir string) (*pebble.Lock, error) {
	l, err := pebble.LockDirectory(dir, disk)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, lockFault(err))
	}
	return l, nil
}

// lockFault is err of taking a folder's lock: ErrInUse if somebody has it. The
// reason of everything else has a path, or is another of the system's.
func lockFault(err error) error {
	errno, system := errors.AsType[syscall.Errno](err)
	_, file := errors.AsType[*fs.PathError](err)
	if file || system && errno != syscall.EAGAIN && errno != syscall.EACCES {
		return err
	}
	return ErrInUse
}

// Checkpoint makes a folder that holds the log as it is now: everything that was
// acknowledged, and nothing by halves. The folder must not exist, and is on the
// log's disk, so that files are linked and not copied. Appends go on meanwhile.
func (l *Log) Checkpoint(dir string) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	if err := l.db.Checkpoint(dir); err != nil {
		return fmt.Errorf("make a checkpoint of the log in %s: %w", dir, err)
	}
	return nil
}
