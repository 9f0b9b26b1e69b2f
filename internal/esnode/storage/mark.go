package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// mark is a small file beside Pebble's that says how far the log was durable.
//
// Pebble takes damage in the last 32 KiB of its write-ahead log for the torn end
// that a crash leaves, and does not miss a write-ahead log that is gone: in both
// cases what was in it is silently not there. The mark is written after each sync
// and never before, so a log that ends short of it has lost what was acknowledged.
// It is not synced itself, which would cost as much as the append: it outlives the
// process at any rate, and after a power failure it may say less than it could,
// and never too much.
type mark struct {
	file   vfs.File
	logger *slog.Logger
	failed bool
}

const (
	markName = "ACKNOWLEDGED"
	// markLen is that of a position and its checksum (CRC-32C).
	markLen = 8 + 4
)

// openMark makes the mark ready to be set. The log goes on without it: the mark is
// about damage that may come, and a disk too full for it is none.
func openMark(fs vfs.FS, dir string, logger *slog.Logger) *mark {
	m := &mark{logger: logger}
	var err error
	if m.file, err = fs.OpenReadWrite(fs.PathJoin(dir, markName), vfs.WriteCategoryUnspecified); err != nil {
		m.warn(err)
	}
	return m
}

// set says that the log is durable up to a position.
func (m *mark) set(position uint64) {
	if m.file == nil {
		return
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, markLen), position)
	_, err := m.file.WriteAt(binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), 0)
	if err != nil && !m.failed {
		m.warn(err)
	}
	m.failed = err != nil
}

func (m *mark) warn(err error) {
	m.logger.Warn("the log's mark cannot be written: a damaged end of the log may pass for one that was never written",
		slog.Any("error", err))
}

func (m *mark) close() error {
	if m.file == nil {
		return nil
	}
	return m.file.Close()
}

// checkMark compares the log's end with what was acknowledged.
func (l *Log) checkMark(fs vfs.FS, dir string) error {
	path := fs.PathJoin(dir, markName)
	position, err := readMark(fs, path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil // a restored backup, or a log of an earlier version
	case errors.Is(err, errMark):
		l.logger.Warn("the log's mark says nothing: whether the end of the log is whole cannot be told this time",
			slog.String("file", path))
		return nil
	case err != nil:
		return fmt.Errorf("read the log's mark: %w", err)
	case position > l.last:
		return fmt.Errorf("the log ends with the event at %d, but one at %d was acknowledged: its write-ahead log is damaged or missing; "+
			"restore a backup, or remove %s to go on without what is lost: %w", l.last, position, path, ErrCorrupt)
	}
	return nil
}

var errMark = errors.New("not a position")

func readMark(fs vfs.FS, path string) (position uint64, err error) {
	file, err := fs.Open(path)
	if err != nil {
		return 0, err
	}
	defer release(file)
	b, err := io.ReadAll(io.LimitReader(file, markLen))
	if err != nil {
		return 0, err
	}
	if len(b) < markLen || binary.BigEndian.Uint32(b[8:]) != crc32.Checksum(b[:8], castagnoli) {
		return 0, errMark
	}
	return binary.BigEndian.Uint64(b), nil
}
