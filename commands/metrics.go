package commands

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	commands    *prometheus.CounterVec
	latency     *prometheus.HistogramVec
	conflicts   *prometheus.CounterVec
	stateHits   prometheus.Counter
	stateMisses prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "g4fagent_commands_total", Help: "Commands by name and outcome.",
		}, []string{"command", "outcome"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "g4fagent_command_seconds", Help: "Time until a command was decided and appended.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}, []string{"command"}),
		conflicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "g4fagent_command_conflicts_total", Help: "Appends that met another revision than expected.",
		}, []string{"command"}),
		stateHits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "g4fagent_state_cache_hits_total", Help: "Folded states found in the cache.",
		}),
		stateMisses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "g4fagent_state_cache_misses_total", Help: "Folded states that had to be read.",
		}),
	}
	if r != nil {
		r.MustRegister(m.commands, m.latency, m.conflicts, m.stateHits, m.stateMisses)
	}
	return m
}
