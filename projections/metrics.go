package projections

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	events     prometheus.Counter
	statements prometheus.Counter
	batch      prometheus.Histogram
	latency    prometheus.Histogram
	failures   prometheus.Counter
	outages    prometheus.Counter
	restarts   prometheus.Counter
	merges     prometheus.Counter
}

func newMetrics(r prometheus.Registerer, e *Engine) *metrics {
	m := &metrics{
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "g4fagent_projection_events_total", Help: "Events that groups of projectors have moved past.",
		}),
		statements: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "g4fagent_projection_statements_total", Help: "Statements that projectors have run.",
		}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "g4fagent_projection_batch_events", Help: "Events in one transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "g4fagent_projection_batch_seconds", Help: "Time until a batch was committed.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "g4fagent_projection_failures_total", Help: "Attempts that left projectors stuck at an event.",
		}),
		outages: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "g4fagent_projection_outages_total", Help: "Attempts that failed because of Postgres.",
		}),
		restarts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "g4fagent_projection_restarts_total", Help: "Groups that found their checkpoints moved by somebody else.",
		}),
		merges: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "g4fagent_projection_merges_total", Help: "Groups that joined another at its position.",
		}),
	}
	if r != nil {
		r.MustRegister(m.events, m.statements, m.batch, m.latency, m.failures, m.outages, m.restarts, m.merges, statusCollector{e})
	}
	return m
}

func (m *metrics) committed(events, statements int, took time.Duration) {
	m.statements.Add(float64(statements))
	m.batch.Observe(float64(events))
	m.latency.Observe(took.Seconds())
}

var (
	stuckDesc = prometheus.NewDesc("g4fagent_projection_stuck",
		"Whether the projector does not get past an event.", []string{"projector"}, nil)
	pendingDesc = prometheus.NewDesc("g4fagent_projection_pending_events",
		"Events that have arrived and are not applied; while the log is away, those that arrived before.", []string{"projector"}, nil)
	lagDesc = prometheus.NewDesc("g4fagent_projection_lag_seconds",
		"Time since the oldest event happened that has arrived and is not applied, 0 when none is; "+
			"while the log is away, of those that arrived before.", []string{"projector"}, nil)
	positionDesc = prometheus.NewDesc("g4fagent_projection_position",
		"Commit position of the last event applied.", []string{"projector"}, nil)
	lastEventDesc = prometheus.NewDesc("g4fagent_projection_last_event_timestamp_seconds",
		"When the last event applied happened.", []string{"projector"}, nil)
)

// statusCollector asks for the status when it is scraped, so that batches do not
// pay for it.
type statusCollector struct{ engine *Engine }

// Describe is for Prometheus.
func (statusCollector) Describe(out chan<- *prometheus.Desc) {
	out <- stuckDesc
	out <- pendingDesc
	out <- lagDesc
	out <- positionDesc
	out <- lastEventDesc
}

// Collect is for Prometheus.
func (c statusCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, projector string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, projector)
	}
	for _, s := range c.engine.Status() {
		stuck := 0.0
		if s.Stuck != nil {
			stuck = 1
		}
		gauge(stuckDesc, stuck, s.Name)
		gauge(pendingDesc, float64(s.Pending), s.Name)
		gauge(lagDesc, s.Lag.Seconds(), s.Name)
		gauge(positionDesc, float64(s.Position.Commit), s.Name)
		if !s.LastEventAt.IsZero() {
			gauge(lastEventDesc, float64(s.LastEventAt.UnixMilli())/1000, s.Name)
		}
	}
}

type awaiterMetrics struct {
	seconds prometheus.Histogram
	lagging prometheus.Counter
}

func newAwaiterMetrics(r prometheus.Registerer, a *Awaiter) *awaiterMetrics {
	m := &awaiterMetrics{
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "g4fagent_projection_wait_seconds", Help: "Time that requests waited for read models.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		lagging: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "g4fagent_projection_waits_lagging_total", Help: "Waits that ended before the read models were there.",
		}),
	}
	if r != nil {
		waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "g4fagent_projection_waiters", Help: "Requests that wait for read models.",
		}, func() float64 {
			a.mu.Lock()
			defer a.mu.Unlock()
			return float64(a.waiting)
		})
		r.MustRegister(m.seconds, m.lagging, waiting)
	}
	return m
}

func (m *awaiterMetrics) waited(took time.Duration, lagging bool) {
	m.seconds.Observe(took.Seconds())
	if lagging {
		m.lagging.Inc()
	}
}
