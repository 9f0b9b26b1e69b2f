package postgres

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// collector reads the pool's own counters at each scrape.
type collector struct {
	pool   *pgxpool.Pool
	server *supervisor
	values []poolValue

	up, restarts *prometheus.Desc
}

type poolValue struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*pgxpool.Stat) float64
}

func newCollector(pool *pgxpool.Pool, server *supervisor) *collector {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("g4fagent_postgres_"+name, help, nil, nil)
	}
	c := &collector{pool: pool, server: server}
	gauge := func(name, help string, read func(*pgxpool.Stat) float64) {
		c.values = append(c.values, poolValue{describe("pool_"+name, help), prometheus.GaugeValue, read})
	}
	counter := func(name, help string, read func(*pgxpool.Stat) float64) {
		c.values = append(c.values, poolValue{describe("pool_"+name, help), prometheus.CounterValue, read})
	}
	gauge("acquired_connections", "Connections in use.", func(s *pgxpool.Stat) float64 { return float64(s.AcquiredConns()) })
	gauge("idle_connections", "Connections waiting for use.", func(s *pgxpool.Stat) float64 { return float64(s.IdleConns()) })
	gauge("constructing_connections", "Connections being opened.", func(s *pgxpool.Stat) float64 { return float64(s.ConstructingConns()) })
	gauge("max_connections", "The pool's bound.", func(s *pgxpool.Stat) float64 { return float64(s.MaxConns()) })
	counter("acquires_total", "Connections taken from the pool.", func(s *pgxpool.Stat) float64 { return float64(s.AcquireCount()) })
	counter("waits_total", "Times that no connection was idle.", func(s *pgxpool.Stat) float64 { return float64(s.EmptyAcquireCount()) })
	counter("wait_seconds_total", "Time spent waiting for a connection when none was idle.", func(s *pgxpool.Stat) float64 { return s.EmptyAcquireWaitTime().Seconds() })
	counter("canceled_acquires_total", "Waits for a connection that were given up.", func(s *pgxpool.Stat) float64 { return float64(s.CanceledAcquireCount()) })
	counter("opened_connections_total", "Connections opened.", func(s *pgxpool.Stat) float64 { return float64(s.NewConnsCount()) })
	if server != nil {
		c.up = describe("managed_up", "Whether the managed server answers.")
		c.restarts = describe("managed_restarts_total", "Times that the managed server died and was started again.")
	}
	return c
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, v := range c.values {
		ch <- v.desc
	}
	if c.server != nil {
		ch <- c.up
		ch <- c.restarts
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	stat := c.pool.Stat()
	for _, v := range c.values {
		ch <- prometheus.MustNewConstMetric(v.desc, v.kind, v.read(stat))
	}
	if c.server != nil {
		up := 0.0
		if c.server.state() == nil {
			up = 1
		}
		ch <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, up)
		ch <- prometheus.MustNewConstMetric(c.restarts, prometheus.CounterValue, float64(c.server.restarts.Load()))
	}
}
