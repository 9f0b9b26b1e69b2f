package httpx

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what is counted about requests. Their labels have few values:
// operation ids and what stands beside them, never a path of the client's.
type metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	full      *prometheus.CounterVec
	panics    prometheus.Counter
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "g4fagent_http_requests_total",
			Help: "Requests by operation and status; 499 is an answer that the client did not wait for.",
		}, []string{"operation", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "g4fagent_http_request_duration_seconds",
			Help:    "How long requests took, streams aside.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"operation"}),
		full: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "g4fagent_http_full_total",
			Help: "Requests refused with 503 because a bound was reached.",
		}, []string{"bound"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "g4fagent_http_panics_total",
			Help: "Handlers that panicked.",
		}),
	}
}

// gauge makes a bound whose use is a metric.
func (m *metrics) gauge(name string, limit int64) *gauge {
	return &gauge{name: name, max: limit, full: m.full.WithLabelValues(name)}
}

// register registers the metrics and what the gauges have in use.
func (m *metrics) register(registerer prometheus.Registerer, gauges ...*gauge) error {
	collectors := []prometheus.Collector{m.requests, m.durations, m.full, m.panics}
	for _, g := range gauges {
		collectors = append(collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "g4fagent_http_in_use",
			Help:        "What is in use of each bound: requests, commands and streams in flight, bytes of bodies held.",
			ConstLabels: prometheus.Labels{"bound": g.name},
		}, func() float64 { return float64(g.used.Load()) }))
	}
	for _, c := range collectors {
		if err := registerer.Register(c); err != nil {
			return fmt.Errorf("register metrics of HTTP: %w", err)
		}
	}
	return nil
}

// count counts an exchange that has ended.
func (e *edge) count(x *exchange, seconds float64) {
	status := x.status
	if x.left {
		status = statusLeft
	}
	e.metrics.requests.WithLabelValues(x.label, statusText(status)).Inc()
	if !x.streams() {
		e.metrics.durations.WithLabelValues(x.label).Observe(seconds)
	}
}

// statusText is a status as a label, without an allocation for the usual one.
func statusText(status int) string {
	if status == http.StatusOK {
		return "200"
	}
	return strconv.Itoa(status)
}
