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

// ErrTooManyStreams refuses one stream more than a user or the node may have.
var ErrTooManyStreams = fault.New(fault.RateLimited, "rate_limited", "Too many streams are open. Close one and try again.")

// Limits bound the open streams.
type Limits struct {
	PerUser int
	PerNode int
}

// Log is what streams read when they are behind.
type Log interface {
	// Read returns up to limit events of a stream from revision from on.
	Read(ctx context.Context, stream string, from int64, limit int) ([]eventlog.Record, error)
}

// Hub wakes the streams of a journal when it grows, and keeps the journal's last
// events for them. It is safe for concurrent use.
type Hub struct {
	log    Log
	sealer eventschema.Sealer
	logger *slog.Logger
	limits Limits
	open   prometheus.Gauge
	ends   *prometheus.CounterVec
	always chan struct{} // closed

	mu       sync.Mutex
	journals map[string]*journal
	users    audiences
	logins   audiences
	streams  int
}

// audiences are the open streams by whom they belong to.
type audiences map[string]map[*connection]struct{}

func (a audiences) add(id string, c *connection) {
	if a[id] == nil {
		a[id] = map[*connection]struct{}{}
	}
	a[id][c] = struct{}{}
}

func (a audiences) remove(id string, c *connection) {
	delete(a[id], c)
	if len(a[id]) == 0 {
		delete(a, id)
	}
}

// NewHub makes a hub. Its Watch must be a watcher of the log's feed, behind
// whatever Stream.Check asks.
func NewHub(log Log, s eventschema.Sealer, limits Limits, logger *slog.Logger, r prometheus.Registerer) *Hub {
	h := &Hub{
		log: log, sealer: s, logger: logger, limits: limits, always: make(chan struct{}),
		journals: map[string]*journal{}, users: audiences{}, logins: audiences{},
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "g4fagent_sse_streams", Help: "Open event streams."}),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "g4fagent_sse_ends_total", Help: "Event streams that ended, by reason; left is the client's doing.",
		}, []string{"reason"}),
	}
	close(h.always)
	if r != nil {
		r.MustRegister(h.open, h.ends)
	}
	return h
}

// Watch takes one record of the log's live end. It never blocks: it reads and
// encodes nothing.
func (h *Hub) Watch(r eventlog.Record) {
	category, id, _ := strings.Cut(r.Stream, "-")
	switch category {
	case "session":
		h.mu.Lock()
		j := h.journals[r.Stream]
		h.mu.Unlock()
		if j != nil {
			j.push(r)
		}
	case "user":
		h.recheck(h.users, id)
	case "login":
		h.recheck(h.logins, id)
	}
}

// recheck has the streams of one user, or of one login, look whether they may go
// on.
func (h *Hub) recheck(of audiences, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range of[id] {
		select {
		case c.changed <- struct{}{}:
		default: // it is about to look anyway
		}
	}
}

// join makes c one of its journal's streams, until leave.
func (h *Hub) join(c *connection) (leave func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams >= h.limits.PerNode || len(h.users[c.stream.User]) >= h.limits.PerUser {
		return nil, ErrTooManyStreams
	}
	c.journal = h.journals[c.stream.Journal]
	if c.journal == nil {
		c.journal = newJournal()
		h.journals[c.stream.Journal] = c.journal
	}
	c.journal.streams++
	h.streams++
	h.users.add(c.stream.User, c)
	h.logins.add(c.login, c)
	h.open.Inc()
	return func() { h.part(c) }, nil
}

func (h *Hub) part(c *connection) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open.Dec()
	h.streams--
	h.users.remove(c.stream.User, c)
	h.logins.remove(c.login, c)
	if c.journal.streams--; c.journal.streams == 0 {
		delete(h.journals, c.stream.Journal)
	}
}
