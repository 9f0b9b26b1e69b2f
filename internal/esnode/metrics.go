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
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.appends, m.commit, m.batch, m.events, m.bytes, m.subscriptions} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register the event store's metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) committed(c storage.Committed) {
	m.commit.Observe(c.Wait.Seconds())
	m.batch.Observe(float64(c.Events))
	m.events.Add(float64(c.Events))
	m.bytes.Add(float64(c.Bytes))
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
	return "failed"
}
