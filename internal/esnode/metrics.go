package esnode

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

type metrics struct {
	appends       *prometheus.CounterVec
	commit        prometheus.Histogram
	batch         prometheus.Histogram
	events        prometheus.Counter
	bytes         prometheus.Counter
	subscriptions prometheus.Gauge
	sync          prometheus.Histogram
	group         prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		appends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "g4fagent_esnode_appends_total", Help: "Appends, deletions and tombstones by outcome.",
		}, []string{"outcome"}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "g4fagent_esnode_commit_seconds", Help: "Time until a commit was synced to disk.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 2, 16),
		}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "g4fagent_esnode_commit_events", Help: "Events in a commit.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "g4fagent_esnode_events_total", Help: "Events appended to the log.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "g4fagent_esnode_bytes_total", Help: "Bytes of the events appended to the log.",
		}),
		subscriptions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "g4fagent_esnode_subscriptions", Help: "Open subscriptions.",
		}),
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "g4fagent_esnode_sync_seconds", Help: "Time that one sync of the write-ahead log took.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 2, 16),
		}),
		group: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "g4fagent_esnode_sync_commits", Help: "Commits that one sync made durable together.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}),
	}
	return m, register(r, m.appends, m.commit, m.batch, m.events, m.bytes, m.subscriptions, m.sync, m.group)
}

// observe adds what is looked up when it is asked for.
func observe(r prometheus.Registerer, log *storage.Log, e *engine.Engine) error {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	return register(
		r,
		gauge("g4fagent_esnode_disk_free_bytes", "Free space on the log's disk; 0 when it cannot be told.", func() float64 {
			return float64(log.Space().Free)
		}),
		gauge("g4fagent_esnode_disk_floor_bytes", "Free space below which appends are refused.", func() float64 {
			return float64(log.Space().Floor)
		}),
		gauge("g4fagent_esnode_refusing", "Whether appends are refused for want of disk space.", func() float64 {
			if log.Space().Refusing {
				return 1
			}
			return 0
		}),
		gauge("g4fagent_esnode_log_bytes", "Length of the log: all events ever appended, before compression.", func() float64 {
			return float64(log.Head())
		}),
		gauge("g4fagent_esnode_slowest_subscription_bytes", "How far the slowest subscription is behind the log's end.", func() float64 {
			return float64(e.Lag())
		}),
	)
}

func register(r prometheus.Registerer, collectors ...prometheus.Collector) error {
	if r == nil {
		return nil
	}
	for _, c := range collectors {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register the event store's metrics: %w", err)
		}
	}
	return nil
}

func (m *metrics) committed(c storage.Committed) {
	m.commit.Observe(c.Wait.Seconds())
	m.batch.Observe(float64(c.Events))
	m.events.Add(float64(c.Events))
	m.bytes.Add(float64(c.Bytes))
}

func (m *metrics) synced(s storage.Synced) {
	if s.Commits == 0 {
		return // a file was closed, nobody waited
	}
	m.sync.Observe(s.Took.Seconds())
	m.group.Observe(float64(s.Commits))
}

func (m *metrics) wrote(err error) { m.appends.WithLabelValues(outcome(err)).Inc() }

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	if _, ok := errors.AsType[*engine.ConflictError](err); ok {
		return "conflict"
	}
	if _, ok := errors.AsType[*engine.DeletedError](err); ok {
		return "deleted"
	}
	if _, ok := errors.AsType[*engine.TooLargeError](err); ok {
		return "too_large"
	}
	if _, ok := errors.AsType[*engine.InvalidError](err); ok {
		return "invalid"
	}
	if errors.Is(err, storage.ErrFull) {
		return "full"
	}
	return "failed"
}
