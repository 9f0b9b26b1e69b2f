package live

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/fault"
)

const (
	// ringSize is how many frames of a watched journal are kept for its streams.
	ringSize = 256
	// pageSize is how many events a stream that is behind reads at a time.
	pageSize = 100
)

// ErrTooManyStreams refuses one stream more than a user or the node may have.
var ErrTooManyStreams = fault.New(fault.RateLimited, "rate_limited", "Too many streams are open. Close one and try again.")

// Limits bound the open streams.
type Limits struct {
	PerUser int
	PerNode int
}

// Log is what streams read when they are behind.
type Log interface {
	Read(ctx context.Context, stream string, from int64, limit int) ([]eventlog.Record, error)
}

// Hub wakes the streams of a journal when it grows, and keeps the journal's last
// frames for them. It is safe for concurrent use.
type Hub struct {
	log    Log
	sealer eventschema.Sealer
	logger *slog.Logger
	limits Limits
	open   prometheus.Gauge

	mu       sync.Mutex
	journals map[string]*journal
	users    map[string]int
	streams  int
}

// journal is a stream of the log that somebody follows.
type journal struct {
	mu      sync.Mutex
	ring    []frame // contiguous, oldest first
	broken  error   // an event that cannot be shown: the streams end there
	wake    chan struct{}
	streams int
}

// NewHub makes a hub. Its Watch must be a watcher of the log's feed.
func NewHub(log Log, s eventschema.Sealer, limits Limits, logger *slog.Logger, r prometheus.Registerer) *Hub {
	h := &Hub{
		log: log, sealer: s, logger: logger, limits: limits, journals: map[string]*journal{}, users: map[string]int{},
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "g4fagent_sse_streams", Help: "Open event streams."}),
	}
	if r != nil {
		r.MustRegister(h.open)
	}
	return h
}

// Watch takes one record of the log's live end.
func (h *Hub) Watch(r eventlog.Record) {
	switch {
	case strings.HasPrefix(r.Stream, "session-"):
		h.mu.Lock()
		j := h.journals[r.Stream]
		h.mu.Unlock()
		if j != nil {
			h.push(j, r)
		}
	case strings.HasPrefix(r.Stream, "user-"), strings.HasPrefix(r.Stream, "login-"):
		h.wakeAll() // somebody's access changed: every stream looks again
	}
}

func (h *Hub) push(j *journal, r eventlog.Record) {
	f, err := newFrame(r, h.sealer)
	if err != nil {
		h.logger.Error("event cannot be streamed", slog.String("stream", r.Stream), slog.Int64("revision", r.Revision), slog.Any("error", err))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.broken = err
	} else {
		if len(j.ring) == ringSize {
			copy(j.ring, j.ring[1:])
			j.ring = j.ring[:ringSize-1]
		}
		j.ring = append(j.ring, f)
	}
	close(j.wake)
	j.wake = make(chan struct{})
}

func (h *Hub) wakeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, j := range h.journals {
		j.mu.Lock()
		close(j.wake)
		j.wake = make(chan struct{})
		j.mu.Unlock()
	}
}

// join makes the caller one of a journal's streams, until leave.
func (h *Hub) join(stream, user string) (j *journal, leave func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams >= h.limits.PerNode || h.users[user] >= h.limits.PerUser {
		return nil, nil, ErrTooManyStreams
	}
	j = h.journals[stream]
	if j == nil {
		j = &journal{wake: make(chan struct{})}
		h.journals[stream] = j
	}
	j.streams++
	h.streams++
	h.users[user]++
	h.open.Inc()
	return j, func() { h.part(stream, user, j) }, nil
}

func (h *Hub) part(stream, user string, j *journal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open.Dec()
	h.streams--
	if h.users[user]--; h.users[user] == 0 {
		delete(h.users, user)
	}
	if j.streams--; j.streams == 0 {
		delete(h.journals, stream)
	}
}

// from returns the frames from a revision on that the ring has without a gap.
// There are none when the ring is already past it, or has not come to it yet;
// wake is closed when that changes.
func (j *journal) from(revision int64) (frames []frame, past bool, wake <-chan struct{}, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.ring) == 0 || j.ring[len(j.ring)-1].revision < revision {
		return nil, false, j.wake, j.broken
	}
	oldest := j.ring[0].revision
	if oldest > revision {
		return nil, true, j.wake, nil
	}
	return append([]frame(nil), j.ring[revision-oldest:]...), false, j.wake, nil
}
