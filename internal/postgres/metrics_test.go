package postgres

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// gather reads every metric that has no labels.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		metric := family.GetMetric()[0]
		values[family.GetName()] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
	}
	return values
}

func TestPoolMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	db := open(t, Options{Dir: clusterFolder(t), MaxConns: 3, Registerer: registry})
	conn, err := db.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	values := gather(t, registry)
	conn.Release()
	for name, want := range map[string]float64{
		"g4fagent_postgres_pool_acquired_connections": 1,
		"g4fagent_postgres_pool_max_connections":      3,
		"g4fagent_postgres_managed_up":                1,
		"g4fagent_postgres_managed_restarts_total":    0,
	} {
		if got, ok := values[name]; !ok || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	closeDB(t, db)
	if left := gather(t, registry); len(left) > 0 {
		t.Errorf("after Close: %v", left)
	}
}
