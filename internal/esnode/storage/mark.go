package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// marked is what was durable for certain.
type marked struct {
	// position is that of the last event that was acknowledged.
	position uint64
	// manifest is the number of Pebble's list of its files, and listed how many bytes
	// of it were synced.
	manifest, listed uint64
}

// mark is a small file beside Pebble's that says how far the log was durable.
//
// Pebble takes damage near the end of its files for the torn end that a crash
// leaves: in the last 32 KiB of its write-ahead log, and in any but the first
// record of its manifest. It does not miss a write-ahead log that is gone either.
// In all these cases what was there is silently not there. The mark is written
// after each sync and never before, so a log that ends short of it has lost what
// was acknowledged. It is not synced itself, which would cost as much as the append:
// it outlives the process at any rate, and after a power failure it may say less
// than it could, and never too much.
type mark struct {
	logger *slog.Logger

	mu     sync.Mutex
	file   vfs.File
	now    marked
	failed bool
}

const (
	markName = "ACKNOWLEDGED"
	// markLen is that of three numbers and their checksum (CRC-32C).
	markLen = 3*8 + 4
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

// acknowledge says that the log is durable up to a position.
func (m *mark) acknowledge(position uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.position = position
	m.write()
}

// list says that so many bytes of a manifest are durable.
func (m *mark) list(manifest, bytes uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.manifest, m.now.listed = manifest, bytes
	if m.now.position > 0 { // else the log is being opened, and the old mark stands
		m.write()
	}
}

func (m *mark) write() {
	if m.file == nil {
		return
	}
	b := make([]byte, 0, markLen)
	for _, n := range [...]uint64{m.now.position, m.now.manifest, m.now.listed} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
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
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file == nil {
		return nil
	}
	file := m.file
	m.file = nil
	return file.Close()
}

// readMark gives what a folder's mark says: nothing, if there is none, as in a
// restored backup, or if it cannot be read, which is said.
func readMark(fs vfs.FS, dir string, logger *slog.Logger) (marked, error) {
	path := fs.PathJoin(dir, markName)
	file, err := fs.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return marked{}, nil
	}
	if err != nil {
		return marked{}, fmt.Errorf("read the log's mark: %w", err)
	}
	defer release(file)
	b, err := io.ReadAll(io.LimitReader(file, markLen))
	if err != nil {
		return marked{}, fmt.Errorf("read the log's mark: %w", err)
	}
	if len(b) == 0 {
		return marked{}, nil // of a log that never had an event
	}
	if len(b) < markLen || binary.BigEndian.Uint32(b[markLen-4:]) != crc32.Checksum(b[:markLen-4], castagnoli) {
		logger.Warn("the log's mark says nothing: whether the end of the log is whole cannot be told this time",
			slog.String("file", path))
		return marked{}, nil
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
	return marked{position: at(0), manifest: at(1), listed: at(2)}, nil
}
