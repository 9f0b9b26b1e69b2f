package storage

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrFull says that the disk has too little room for another event. Nothing was
// written; reading goes on, and so does appending as soon as there is room.
var ErrFull = errors.New("the disk is nearly full")

// Floor is the room that appends leave free on the log's disk: Bytes, or Share
// of the disk when Bytes is zero. The zero Floor is DefaultFloor.
//
// A share is of at least 64 MiB, which Pebble needs to bring to the disk what it
// holds in memory, and of at most 10 GiB: 5 % of a large disk is no emergency.
type Floor struct {
	Bytes uint64
	Share float64 // between 0 and 1
}

var (
	// DefaultFloor is 5 % of the disk.
	DefaultFloor = Floor{Share: 0.05}
	// NoFloor lets appends fill the disk.
	NoFloor = Floor{Share: -1}
)

const (
	minShare = 64 << 20
	maxShare = 10 << 30
)

func (f Floor) of(total uint64) uint64 {
	switch {
	case f.Bytes > 0:
		return f.Bytes
	case f.Share < 0:
		return 0
	case f.Share == 0:
		return DefaultFloor.of(total)
	default:
		return min(max(uint64(f.Share*float64(total)), minShare), maxShare)
	}
}

// Space is the room on the log's disk.
type Space struct {
	Free, Total uint64 // bytes; both zero when the file system does not tell
	Floor       uint64 // below this many free bytes, appends are refused
	Refusing    bool   // appends are refused now
}

const (
	// The disk is looked at before an append when one of these has gone by, and
	// before each append while appends are refused.
	lookAfterBytes = 1 << 20
	lookAfter      = time.Second
	// resumeMargin is by how much, as a share of the floor, the free space has to
	// exceed the floor before appends go on: at the floor itself each compaction
	// would change the answer.
	resumeMargin = 0.1
)

// space decides whether there is room for an append.
type space struct {
	fs     vfs.FS
	dir    string
	floor  Floor
	logger *slog.Logger

	// stuckUntil is when (in Unix nanoseconds) Pebble will have written its tables
	// for a while without finding the disk full.
	stuckUntil atomic.Int64

	mu     sync.Mutex
	now    Space
	looked time.Time
	spent  int // bytes since then
}

// stuckFor is how long a failure to write a table refuses appends, whatever the
// free space is said to be: more of them would make Pebble block all. Pebble
// tries again many times within it.
const stuckFor = time.Second

// failed notes that Pebble could not write a table.
func (s *space) failed(err error) {
	now := time.Now()
	if s.stuckUntil.Swap(now.Add(stuckFor).UnixNano()) < now.UnixNano() {
		s.logger.Error("the event store cannot write its tables: appends are refused until it can", slog.Any("error", err))
	}
}

func (s *space) stuck() bool { return s.stuckUntil.Load() > time.Now().UnixNano() }

// take asks for room for an append of so many bytes.
func (s *space) take(bytes int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spent += bytes
	if s.now.Refusing || s.stuck() || s.spent >= lookAfterBytes || time.Since(s.looked) >= lookAfter {
		s.look()
	}
	if !s.now.Refusing {
		return nil
	}
	if s.stuck() {
		return fmt.Errorf("the store cannot write its tables: %w", ErrFull)
	}
	return fmt.Errorf("%d MiB are free, appends leave %d MiB: %w", s.now.Free>>20, s.now.Floor>>20, ErrFull)
}

func (s *space) read() Space {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look()
	return s.now
}

// look is called with mu held. A file system that does not tell refuses nothing:
// one that fails will fail the writes too.
func (s *space) look() {
	before := s.now.Refusing
	s.now, s.looked, s.spent = Space{}, time.Now(), 0
	if usage, err := s.fs.GetDiskUsage(s.dir); err == nil {
		s.now = Space{Free: usage.AvailBytes, Total: usage.TotalBytes, Floor: s.floor.of(usage.TotalBytes)}
	}
	need := s.now.Floor
	if before {
		need += uint64(resumeMargin * float64(need))
	}
	s.now.Refusing = s.now.Free < need && s.now.Total > 0 || s.stuck()
	switch {
	case s.now.Refusing && !before:
		s.logger.Error("the event store's disk is nearly full: appends are refused until there is room again",
			slog.Uint64("free_bytes", s.now.Free), slog.Uint64("floor_bytes", s.now.Floor))
	case !s.now.Refusing && before:
		s.logger.Info("the event store's disk has room again: appends go on", slog.Uint64("free_bytes", s.now.Free))
	}
}

// Space looks at the log's disk.
func (l *Log) Space() Space { return l.space.read() }
