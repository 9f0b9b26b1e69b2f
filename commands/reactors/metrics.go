package reactors

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	jobs   *prometheus.CounterVec
	work   *prometheus.HistogramVec
	wait   *prometheus.HistogramVec
	oldest *prometheus.GaugeVec
	orphan prometheus.Counter
	runs   *prometheus.CounterVec
	open   prometheus.Gauge
	queued *prometheus.GaugeVec
}

func newMetrics(r *Reactors, registerer prometheus.Registerer) *metrics {
	m := &metrics{
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "g4fagent_jobs_total", Help: "Jobs worked, by kind and outcome; failed ones are tried again.",
		}, []string{"kind", "outcome"}),
		work: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "g4fagent_job_seconds", Help: "Time that jobs took.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 10),
		}, []string{"kind"}),
		wait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "g4fagent_job_wait_seconds", Help: "Time that jobs were due before they started.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 10),
		}, []string{"kind"}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "g4fagent_job_age_seconds", Help: "Time that the oldest waiting job has been due.",
		}, []string{"queue"}),
		orphan: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "g4fagent_jobs_orphaned_total", Help: "Jobs taken back from nodes that were gone.",
		}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "g4fagent_runs_total", Help: "Runs that came to an end while this node led, by status.",
		}, []string{"status"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "g4fagent_run_executions", Help: "Runs being executed.",
		}),
		queued: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "g4fagent_runs_waiting",
			Help: "Runs that wait, by status: queued for a worker, or retrying after a failed attempt. Counted every few seconds by the node that leads.",
		}, []string{"status"}),
	}
	if registerer != nil {
		registerer.MustRegister(m.jobs, m.work, m.wait, m.oldest, m.orphan, m.runs, m.open, m.queued, progress{r})
	}
	return m
}

// progress shows the reactors' status.
type progress struct{ reactors *Reactors }

var (
	lagDesc = prometheus.NewDesc("g4fagent_reactor_lag_seconds",
		"Age of the last event that the reactor handled, while later ones are waiting.", []string{"reactor"}, nil)
	stuckDesc = prometheus.NewDesc("g4fagent_reactor_stuck",
		"Whether the reactor does not get past an event.", []string{"reactor"}, nil)
)

// Describe implements prometheus.Collector.
func (p progress) Describe(ch chan<- *prometheus.Desc) { ch <- lagDesc; ch <- stuckDesc }

// Collect implements prometheus.Collector.
func (p progress) Collect(ch chan<- prometheus.Metric) {
	for _, s := range p.reactors.Status() {
		stuck := 0.0
		if s.Stuck != nil {
			stuck = 1
		}
		ch <- prometheus.MustNewConstMetric(lagDesc, prometheus.GaugeValue, s.Lag.Seconds(), s.Name)
		ch <- prometheus.MustNewConstMetric(stuckDesc, prometheus.GaugeValue, stuck, s.Name)
	}
}

// Statuses of runs that wait.
const (
	statusQueued   = "queued"
	statusRetrying = "retrying"
)

// waiting shows how many runs wait.
func (m *metrics) waiting(queued, retrying int) {
	m.queued.WithLabelValues(statusQueued).Set(float64(queued))
	m.queued.WithLabelValues(statusRetrying).Set(float64(retrying))
}

// away forgets what another node may lead from now on.
func (m *metrics) away() {
	m.queued.Reset()
	m.oldest.Reset()
}

func (m *metrics) worked(kind, outcome string, waited, took time.Duration) {
	m.jobs.WithLabelValues(kind, outcome).Inc()
	m.work.WithLabelValues(kind).Observe(took.Seconds())
	m.wait.WithLabelValues(kind).Observe(max(waited, 0).Seconds())
}
