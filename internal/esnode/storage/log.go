package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	// ErrCorrupt says that stored bytes are not what was written. What they
	// held is not served, and nothing is served in its place.
	ErrCorrupt = errors.New("stored data is corrupt")
	// ErrClosed says that the log has been closed.
	ErrClosed = errors.New("log is closed")
	// ErrFailed says that the log could not make data durable. A disk that
	// failed one sync may report success for the next and still have lost the
	// data, so the log never goes on: the process opens it anew.
	ErrFailed = errors.New("log has failed")
)

// Options configure a log. Dir and Logger are required.
type Options struct {
	Dir    string
	FS     vfs.FS // nil means the disk
	Logger *slog.Logger
	// Now dates events; nil means time.Now.
	Now func() time.Time
	// OnCommit, if set, hears of each durable commit, and OnSync of each sync that
	// made some durable. They must not block.
	OnCommit func(Committed)
	OnSync   func(Synced)
	// Floor is the room that appends leave free on the disk.
	Floor Floor
	// MemTableSize is how many bytes gather in memory before they become a table;
	// zero means 16 MiB. Tests set it to see tables made.
	MemTableSize int

	lock     *pebble.Lock // of the folder, if it is held already
	readOnly bool
}

// Committed describes one durable commit.
type Committed struct {
	Events int
	Bytes  int           // of the events' records
	Wait   time.Duration // from handing the batch to Pebble until it was synced
}

// Log is an append-only log of events. Its methods may be called concurrently.
type Log struct {
	db     *pebble.DB
	now    func() time.Time
	logger *slog.Logger
	notify func(Committed)

	head    *head
	commits chan *commit // to the writer
	next    uint64       // the next event's position; the writer's
	last    uint64       // the last accepted event's position; the writer's

	mark   *mark
	lock   *pebble.Lock
	states states
	tail   tail
	space  *space
	// unsynced counts the commits that the next sync makes durable.
	unsynced atomic.Int64

	life    sync.RWMutex // read-held while Pebble is in use
	closed  bool
	stop    chan struct{}
	running sync.WaitGroup

	failure failure
	opened  atomic.Bool
}

// Open opens the log in a folder that no other log has open, making it if it is
// not there. Everything it finds is durable before Open returns: Pebble flushes
// what it recovers from its write-ahead log. Errors match ErrInUse when a process
// has the folder, and ErrCorrupt when something that was acknowledged is not there;
// the folder is then left as it was.
func Open(o Options) (_ *Log, err error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if err := o.FS.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the log's folder: %w", err)
	}
	if o.lock, err = lockFolder(o.FS, o.Dir); err != nil {
		return nil, err
	}
	l := newLog(o)
	defer func() {
		if err != nil && l.Err() == nil { // what a failed store does when it is closed is undefined
			err = errors.Join(err, o.lock.Close())
		}
	}()
	if _, err := inspect(o); err != nil {
		return nil, err
	}
	l.mark = openMark(o.FS, o.Dir, o.Logger)
	if err := l.openPebble(o); err != nil {
		return nil, errors.Join(err, l.mark.close())
	}
	if err := l.recover(); err != nil {
		if l.Err() != nil {
			return nil, err
		}
		return nil, errors.Join(err, l.db.Close(), l.mark.close())
	}
	l.opened.Store(true)
	l.running.Go(func() { l.head.broadcast(l.stop) })
	l.running.Go(func() { l.write(l.stop) })
	return l, nil
}

func newLog(o Options) *Log {
	l := &Log{
		now:     o.Now,
		logger:  o.Logger,
		notify:  o.OnCommit,
		stop:    make(chan struct{}),
		lock:    o.lock,
		commits: make(chan *commit, groupCommits),
		states:  newStates(),
		space:   &space{fs: o.FS, dir: o.Dir, floor: o.Floor, logger: o.Logger},
	}
	l.failure.done = make(chan struct{})
	if l.now == nil {
		l.now = time.Now
	}
	if l.notify == nil {
		l.notify = func(Committed) {}
	}
	return l
}

// recover checks the format, and goes on from the log's end, which is durable by now.
func (l *Log) recover() error {
	if err := l.checkFormat(); err != nil {
		return err
	}
	if err := l.findEnd(); err != nil {
		return err
	}
	l.head = newHead(l.last)
	if l.last > 0 {
		l.mark.acknowledge(l.last)
	}
	return nil
}

func (l *Log) findEnd() error {
	it, err := l.db.NewIter(eventBounds())
	if err != nil {
		return fmt.Errorf("find the log's end: %w", err)
	}
	defer release(it)
	l.next = firstPosition
	if it.Last() {
		e, err := eventAt(it)
		if err != nil {
			return fmt.Errorf("read the log's last event: %w", err)
		}
		l.last, l.next = e.Position, e.Position+e.Size()
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("find the log's end: %w", err)
	}
	return nil
}

const formatVersion uint32 = 1

// firstPosition is above zero because clients take position zero for "none".
const firstPosition uint64 = 1

func (l *Log) checkFormat() error {
	found, err := l.readFormat()
	if err == nil && !found {
		return l.writeFormat()
	}
	return err
}

func (l *Log) readFormat() (found bool, err error) {
	value, closer, err := l.db.Get(formatKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the store's format: %w", err)
	}
	defer release(closer)
	if len(value) != 4 {
		return false, fmt.Errorf("the store's format version is %x: %w", value, ErrCorrupt)
	}
	if v := binary.BigEndian.Uint32(value); v != formatVersion {
		return false, fmt.Errorf("the store has format version %d, this program reads %d", v, formatVersion)
	}
	return true, nil
}

func (l *Log) writeFormat() error {
	it, err := l.db.NewIter(nil)
	if err != nil {
		return fmt.Errorf("look into the new store: %w", err)
	}
	defer release(it)
	if it.First() {
		return fmt.Errorf("the store has data and no format version: %w", ErrCorrupt)
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("look into the new store: %w", err)
	}
	batch := l.db.NewBatch()
	err = batch.Set(formatKey, binary.BigEndian.AppendUint32(nil, formatVersion), nil)
	if err == nil {
		err = l.apply(batch)
	}
	if err != nil {
		return fmt.Errorf("write the store's format: %w", err)
	}
	release(batch)
	return nil
}

// Head is the position of the last durable event, zero while there is none.
func (l *Log) Head() uint64 { return l.head.position.Load() }

// Failed is closed when the log has failed; Err then tells why.
func (l *Log) Failed() <-chan struct{} { return l.failure.done }

// Err is nil until the log fails. The error matches ErrFailed.
func (l *Log) Err() error { return l.failure.get() }

// Close waits for the calls in flight and closes the store. A log that has failed
// is left as it is: what Pebble does after a failed write is undefined, so its
// folder stays locked until the process ends, and its calls may not end before.
func (l *Log) Close() error {
	if err := l.Err(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- l.close() }()
	select {
	case err := <-ended:
		return errors.Join(err, l.Err())
	case <-l.Failed():
		return l.Err()
	}
}

func (l *Log) close() error {
	l.life.Lock()
	defer l.life.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	close(l.stop)
	l.running.Wait()
	if err := errors.Join(l.db.Close(), l.mark.close(), l.lock.Close()); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	return nil
}

// enter lets a call use Pebble until it calls leave.
func (l *Log) enter() error {
	l.life.RLock()
	if l.closed {
		l.life.RUnlock()
		return ErrClosed
	}
	if err := l.Err(); err != nil {
		l.life.RUnlock()
		return err
	}
	return nil
}

func (l *Log) leave() { l.life.RUnlock() }
