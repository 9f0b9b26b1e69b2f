package storage

import (
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Synced describes one sync of the write-ahead log.
type Synced struct {
	Commits int // that it made durable together; zero when the file was only closed
	Took    time.Duration
}

// disk is the file system as Pebble sees it. Folders are for their owner alone,
// since the log holds what people wrote; syncs of the write-ahead log are timed;
// and the log hears of every failure to write:
//
//   - A table that meets a full disk, or cannot be made, refuses appends until
//     tables can be written again: Pebble has what is in it in memory and in its
//     write-ahead log, and writes it anew.
//   - Any other failure ends the log, and with it the disk: from then on nothing
//     reaches it, as if the power had gone. Pebble is not told, and works on in
//     memory until the process ends. It would answer by
//     a panic that nobody can recover from, or by waiting for ever while it holds
//     a lock; and what it believes to have written is acknowledged to nobody, since
//     every commit asks whether the log has failed before it answers.
//
// While the log is opened, Pebble is told everything.
type disk struct {
	vfs.FS

	log    *Log
	synced func(Synced)
	void   vfs.FS // in memory, takes what a dead disk does not
}

func (l *Log) disk(o Options) disk {
	d := disk{FS: o.FS, log: l, synced: o.OnSync, void: vfs.NewMem()}
	if d.synced == nil {
		d.synced = func(Synced) {}
	}
	return d
}

func (d disk) Unwrap() vfs.FS { return d.FS }

// Lock implements vfs.FS, and fails with ErrInUse where somebody has the lock.
func (d disk) Lock(name string) (io.Closer, error) {
	held, err := d.FS.Lock(name)
	if err != nil {
		return nil, lockFault(err)
	}
	return held, nil
}

func isTable(name string) bool { return filepath.Ext(name) == ".sst" }

func (d disk) dead() bool { return d.log.Err() != nil }

// noted tells the log of a failure, and gives what Pebble is to hear of it.
func (d disk) noted(name string, err error) error {
	switch {
	case err == nil || !d.log.opened.Load():
		return err
	case isTable(name) && vfs.IsNoSpaceError(err):
		d.log.space.failed(err)
		return err
	case isTable(name):
		d.log.failure.set(err)
		return err
	default:
		d.log.failure.set(err)
		return nil
	}
}

func (d disk) MkdirAll(dir string, perm os.FileMode) error { return d.FS.MkdirAll(dir, perm&0o700) }

// fullPause is how long a new table waits while the disk is full. Pebble tries
// again at once, for ever.
const fullPause = 100 * time.Millisecond

func (d disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if isTable(name) {
		return d.createTable(name, c)
	}
	if d.dead() {
		return d.nothing(name, c)
	}
	f, err := d.FS.Create(name, c)
	return d.watched(name, f, err, c)
}

func (d disk) createTable(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if d.dead() {
		return d.nothing(name, c)
	}
	if d.log.space.stuck() {
		time.Sleep(fullPause)
	}
	f, err := d.FS.Create(name, c)
	if err != nil {
		d.log.space.failed(err)
		return nil, err
	}
	return watchedFile{f, d, name}, nil
}

func (d disk) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if d.dead() {
		return d.nothing(name, c)
	}
	f, err := d.FS.ReuseForWrite(old, name, c)
	return d.watched(name, f, err, c)
}

func (d disk) watched(name string, f vfs.File, err error, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err != nil {
		if err = d.noted(name, err); err != nil {
			return nil, err
		}
		return d.nothing(name, c)
	}
	file := watchedFile{f, d, name}
	if filepath.Ext(name) == ".log" {
		return timedFile{file}, nil
	}
	return file, nil
}

// nothing is a file that is on no disk.
func (d disk) nothing(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.void.Create(d.void.PathBase(name), c)
}

func (d disk) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.Open(name, o...)
	if err != nil && d.dead() {
		return d.void.Open(d.void.PathBase(name), o...)
	}
	return f, err
}

func (d disk) Rename(old, name string) error {
	if d.dead() {
		return nil
	}
	return d.noted(name, d.FS.Rename(old, name))
}

func (d disk) Link(old, name string) error {
	if d.dead() {
		return nil
	}
	return d.FS.Link(old, name) // of a checkpoint alone, whose caller is told
}

// Remove keeps what another process will need: what took its place may not be there.
func (d disk) Remove(name string) error {
	if d.dead() {
		return nil
	}
	return d.FS.Remove(name)
}

func (d disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return watchedFile{f, d, name}, nil
}

// watchedFile is a file that Pebble writes, or a folder that it syncs.
type watchedFile struct {
	vfs.File

	disk disk
	name string
}

func (f watchedFile) Write(p []byte) (int, error) {
	if f.disk.dead() {
		return len(p), f.lost()
	}
	n, err := f.File.Write(p)
	if err != nil {
		if err = f.disk.noted(f.name, err); err == nil {
			n = len(p)
		}
	}
	return n, err
}

// lost is what Pebble hears of a file that the disk died under. A table it has to
// write anew, since it will read it.
func (f watchedFile) lost() error {
	if isTable(f.name) {
		return f.disk.log.Err()
	}
	return nil
}

func (f watchedFile) Sync() error { return f.sync(f.File.Sync) }

func (f watchedFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f watchedFile) SyncTo(n int64) (full bool, err error) {
	err = f.sync(func() (err error) {
		full, err = f.File.SyncTo(n)
		return err
	})
	return full, err
}

func (f watchedFile) Close() error { return f.disk.noted(f.name, f.File.Close()) }

func (f watchedFile) sync(sync func() error) error {
	if f.disk.dead() {
		return f.lost()
	}
	return f.disk.noted(f.name, sync())
}

// timedFile is a file of the write-ahead log, whose syncs Pebble makes one at a
// time.
type timedFile struct{ watchedFile }

func (f timedFile) Sync() error { return f.time(f.watchedFile.Sync) }

func (f timedFile) SyncData() error { return f.time(f.watchedFile.SyncData) }

func (f timedFile) time(sync func() error) error {
	commits := f.disk.log.unsynced.Swap(0)
	start := time.Now()
	err := sync()
	if err == nil && !f.disk.dead() {
		f.disk.synced(Synced{Commits: int(commits), Took: time.Since(start)})
	}
	return err
}
