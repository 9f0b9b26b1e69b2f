package storage

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// pebbleFormat is Pebble's own format of the files. It is named, not the
	// newest, so that a new Pebble changes the files only when this line does.
	// It tells a torn end of the write-ahead log from a damaged middle, except in
	// the log's last 32 KiB: what rots there after a crash, before the next start,
	// is taken for torn, and so is what follows it.
	pebbleFormat = pebble.FormatValueSeparation
	// cacheSize bounds the blocks kept in memory. What is read most, the log's
	// end, is in the memtable, so that a small cache serves.
	cacheSize = 32 << 20
	// memTableSize lets about 30,000 events of 400 bytes gather before a flush.
	// Two exist while one is flushed.
	memTableSize = 16 << 20
	// memTables is how many there may be before Pebble blocks all appends. The
	// third and fourth are for the moment between a flush that found the disk full
	// and the refusal of what comes after it.
	memTables = 4
	// bloomBits gives about 1 % false positives: asking for a stream that does
	// not exist, which each new stream's first append does, reads no table.
	bloomBits = 10
)

func (l *Log) openPebble(o Options) error {
	cache := pebble.NewCache(cacheSize)
	defer cache.Unref()
	options := &pebble.Options{
		FS:           l.disk(o),
		Cache:        cache,
		MemTableSize: memTableSize,
		// Appends are refused before they would have to wait for so many.
		MemTableStopWritesThreshold: memTables,
		FormatMajorVersion:          pebbleFormat,
		Logger:                      pebbleLogger{log: l},
		Lock:                        o.lock,
		ReadOnly:                    o.readOnly,
		ErrorIfNotExists:            o.readOnly,
	}
	if o.MemTableSize > 0 {
		options.MemTableSize = uint64(o.MemTableSize)
	}
	if o.FS == vfs.Default {
		options.WithFSDefaults() // notices when the disk is slow
	}
	options.EnsureDefaults()
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	options.EventListener.DataCorruption = func(info pebble.DataCorruptionInfo) {
		l.logger.Error("stored data is corrupt", slog.String("details", info.String()))
	}
	options.EventListener.DiskSlow = func(info pebble.DiskSlowInfo) {
		l.logger.Warn("the event store's disk is slow", slog.String("details", info.String()))
	}
	options.EventListener.BackgroundError = func(err error) {
		// Of a full disk the log has said so once; Pebble tries again and again.
		if !vfs.IsNoSpaceError(err) {
			l.logger.Error("the event store's background work failed", slog.Any("error", err))
		}
	}

	// Pebble reports what it cannot live with by Fatalf, which never returns.
	type opened struct {
		db  *pebble.DB
		err error
	}
	result := make(chan opened, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				result <- opened{err: fmt.Errorf("panic in the store: %v", r)}
			}
		}()
		db, err := pebble.Open(o.Dir, options)
		result <- opened{db, err}
	}()
	select {
	case r := <-result:
		if r.err != nil {
			return fmt.Errorf("open the store in %s: %w", o.Dir, r.err)
		}
		l.db = r.db
		return nil
	case <-l.Failed():
		return fmt.Errorf("open the store in %s: %w", o.Dir, l.Err())
	}
}

// pebbleLogger turns Pebble's fatal errors into the log's failure.
type pebbleLogger struct{ log *Log }

func (p pebbleLogger) Infof(format string, args ...any) {
	if p.log.logger.Enabled(context.Background(), slog.LevelDebug) {
		p.log.logger.Debug("pebble", slog.String("message", fmt.Sprintf(format, args...)))
	}
}

func (p pebbleLogger) Errorf(format string, args ...any) {
	p.log.logger.Error("pebble", slog.String("message", fmt.Sprintf(format, args...)))
}

// Fatalf never returns, as Pebble expects of it: its callers hold locks and
// have no way to go on. The goroutine is parked, and the log's owner ends the
// process.
func (p pebbleLogger) Fatalf(format string, args ...any) {
	p.log.failure.set(fmt.Errorf(format, args...))
	select {}
}
