package eventlog

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	up            prometheus.Gauge
	connects      prometheus.Counter
	appends       *prometheus.CounterVec
	latency       prometheus.Histogram
	laneWait      prometheus.Histogram
	followers     prometheus.Gauge
	subscriptions prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "g4fagent_eventlog_up", Help: "Whether the event log answers.",
		}),
		connects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "g4fagent_eventlog_connects_total", Help: "Connections made to the event log.",
		}),
		appends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "g4fagent_eventlog_appends_total", Help: "Appends by outcome; found means that an unknown outcome turned out to be success.",
		}, []string{"outcome"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "g4fagent_eventlog_append_seconds", Help: "Time until an append was acknowledged.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		laneWait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "g4fagent_eventlog_lane_wait_seconds", Help: "Time that a command waited for its stream's lane.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		followers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "g4fagent_eventlog_followers", Help: "Who follows the whole log.",
		}),
		subscriptions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "g4fagent_eventlog_subscriptions", Help: "Subscriptions to the whole log: those who have caught up share one.",
		}),
	}
	if r != nil {
		r.MustRegister(m.up, m.connects, m.appends, m.latency, m.laneWait, m.followers, m.subscriptions)
	}
	return m
}
