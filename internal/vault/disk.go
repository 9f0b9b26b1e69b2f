package vault

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// filesystem is what the keys' files need of one: few operations, so that a test
// can cut the power between any two.
type filesystem interface {
	// mkdir makes dir, and those above it, for the owner alone.
	mkdir(dir string) error
	mode(name string) (fs.FileMode, error)
	read(name string) ([]byte, error)
	// create makes a file, for the owner alone, whose content is durable; its
	// entry is once its folder is synced. It fails when there is one.
	create(name string, data []byte) error
	// overwrite replaces a file's bytes where they are, durably.
	overwrite(name string, data []byte) error
	// link gives a file a second name, and fails when that name is taken.
	link(from, to string) error
	remove(name string) error
	// sync makes a folder's entries durable.
	sync(dir string) error
	list(dir string) ([]string, error)
	// lock takes a file for this process until it is closed.
	lock(name string) (io.Closer, error)
}

// disk is the operating system's.
type disk struct{}

func (disk) mkdir(dir string) error { return os.MkdirAll(dir, 0o700) }

func (disk) mode(name string) (fs.FileMode, error) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, err
	}
	return info.Mode(), nil
}

func (disk) read(name string) ([]byte, error) { return os.ReadFile(name) }

func (disk) create(name string, data []byte) error {
	return writeDurably(name, os.O_CREATE|os.O_EXCL, data)
}

func (disk) overwrite(name string, data []byte) error { return writeDurably(name, 0, data) }

func writeDurably(name string, flag int, data []byte) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|flag, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

func (disk) link(from, to string) error { return os.Link(from, to) }

func (disk) remove(name string) error { return os.Remove(name) }

func (disk) sync(dir string) (err error) {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Sync()
}

func (disk) list(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	return names, errors.Join(err, d.Close())
}

func (disk) lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another process has %s: %w", name, err), f.Close())
	}
	return f, nil
}
