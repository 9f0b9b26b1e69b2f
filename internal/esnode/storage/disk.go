package storage

import (
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
//   - A disk that is full refuses appends until Pebble can write again.
//   - A write or sync that fails otherwise ends the log, whatever it was of. Pebble
//     would write its tables anew, again and again.
type disk struct {
	vfs.FS

	log    *Log
	synced func(Synced)
}

func (l *Log) disk(o Options) disk {
	d := disk{FS: o.FS, log: l, synced: o.OnSync}
	if d.synced == nil {
		d.synced = func(Synced) {}
	}
	return d
}

func (d disk) Unwrap() vfs.FS { return d.FS }

func (d disk) MkdirAll(dir string, perm os.FileMode) error { return d.FS.MkdirAll(dir, perm&0o700) }

// fullPause is how long a new table waits while the disk is full. Pebble tries
// again at once, for ever.
const fullPause = 100 * time.Millisecond

func (d disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if isTable(name) {
		if d.log.Err() != nil {
			select {} // as Fatalf: nothing is written any more
		}
		if d.log.space.stuck() {
			time.Sleep(fullPause)
		}
	}
	f, err := d.FS.Create(name, c)
	return d.watched(name, f, err)
}

func (d disk) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(old, name, c)
	return d.watched(name, f, err)
}

func isTable(name string) bool { return filepath.Ext(name) == ".sst" }

// watched also refuses appends while no table can be made, for want of space or
// of anything else. That a file of the write-ahead log cannot be made Pebble says
// by itself.
func (d disk) watched(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		if isTable(name) {
			d.log.space.failed(err)
		}
		return nil, err
	}
	file := watchedFile{f, d}
	if filepath.Ext(name) == ".log" {
		return timedFile{file}, nil
	}
	return file, nil
}

// watchedFile is a file that Pebble writes.
type watchedFile struct {
	vfs.File

	disk disk
}

func (f watchedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.noted(err)
}

func (f watchedFile) Sync() error { return f.noted(f.File.Sync()) }

func (f watchedFile) SyncData() error { return f.noted(f.File.SyncData()) }

func (f watchedFile) SyncTo(n int64) (bool, error) {
	full, err := f.File.SyncTo(n)
	return full, f.noted(err)
}

func (f watchedFile) noted(err error) error {
	switch {
	case err == nil:
	case vfs.IsNoSpaceError(err):
		f.disk.log.space.failed(err)
	default:
		f.disk.log.failure.set(err)
	}
	return err
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
	if err == nil {
		f.disk.synced(Synced{Commits: int(commits), Took: time.Since(start)})
	}
	return err
}
