package eventlog_test

import (
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// weather is a network between the log and its server.
type weather struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// quiet keeps the proxy's own log out of the tests' output.
var quiet sync.Once

func newWeather(t *testing.T, upstream string) *weather {
	t.Helper()
	quiet.Do(func() { zerolog.SetGlobalLevel(zerolog.Disabled) })
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	w := &weather{t: t, proxy: toxiproxy.NewProxy(server, "log", "127.0.0.1:0", upstream)}
	if err := w.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.proxy.Stop)
	return w
}

// begins adds toxics, each as its name and attributes; ends removes them.
func (w *weather) begins(kind, direction, attributes string) (ends func()) {
	w.t.Helper()
	toxic, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(
		fmt.Sprintf(`{"type":%q,"stream":%q,"attributes":{%s}}`, kind, direction, attributes)))
	if err != nil {
		w.t.Fatal(err)
	}
	return func() {
		if err := w.proxy.Toxics.RemoveToxic(context.WithoutCancel(w.t.Context()), toxic.Name); err != nil {
			w.t.Error(err)
		}
	}
}

// connects is how many connections a log has made.
func connects(t *testing.T, r *prometheus.Registry) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "g4fagent_eventlog_connects_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatal("the log does not count its connections")
	return 0
}

func newLoadThrough(t *testing.T, patience time.Duration) (*load, *weather, *prometheus.Registry) {
	t.Helper()
	w := newWeather(t, esnodetest.Start(t, esnodetest.OnLoopback).Addr())
	r := prometheus.NewRegistry()
	return newLoad(t, eventlog.Options{Address: w.proxy.Listen, Patience: patience, Registerer: r}), w, r
}

// TestSilence drops whatever is sent, so that nobody learns of it: connections
// stay open, and new ones open too.
func TestSilence(t *testing.T) {
	t.Parallel()
	l, w, _ := newLoadThrough(t, 100*time.Millisecond)
	l.start()
	l.works(patience)
	for _, long := range []bool{false, true} {
		endsUp := w.begins("timeout", "upstream", `"timeout":0`)
		endsDown := w.begins("timeout", "downstream", `"timeout":0`)
		l.asks()
		blind := l.wait("Up tells of the silence", truth, func() bool { return !l.log.Up() })
		if long {
			l.wait("nobody can find out what became of appends", patience, func() bool { return l.failures.Load() >= appenders })
		}
		endsUp()
		endsDown()
		t.Logf("news of the silence after %s, recovery in %s", blind, l.works(recovery))
	}
	l.verify()
}

// asks reads while nobody answers. A bound of the log's says that the log is away;
// only a bound of the caller's own is a context's error.
func (l *load) asks() {
	l.running.Go(func() {
		if _, err := l.log.Head(l.t.Context()); err != eventlog.ErrUnavailable { //nolint:errorlint // no more than that
			l.t.Errorf("a read that nobody answers fails with %v", err)
		}
	})
	l.running.Go(func() {
		ctx, cancel := context.WithTimeout(l.t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := l.log.Head(ctx); err != context.DeadlineExceeded { //nolint:errorlint // no more than that
			l.t.Errorf("a read that nobody waits for fails with %v", err)
		}
	})
}

// TestReset cuts connections in the middle of calls.
func TestReset(t *testing.T) {
	t.Parallel()
	l, w, r := newLoadThrough(t, 100*time.Millisecond)
	l.start()
	var slowest time.Duration
	for range 10 {
		l.works(patience)
		known := connects(t, r)
		ends := w.begins("reset_peer", "downstream", `"timeout":0`)
		l.wait("the connection is lost", truth, func() bool { return !l.log.Up() || connects(t, r) > known })
		ends()
		slowest = max(slowest, l.works(recovery))
	}
	l.verify()
	t.Logf("%d events, %d failed appends, slowest recovery %s", l.acknowledged(), l.failures.Load(), slowest)
}

// TestFarAway has a server that is there, only not near: nothing is lost, and no
// connection is given up for it.
func TestFarAway(t *testing.T) {
	t.Parallel()
	l, w, r := newLoadThrough(t, 0)
	ends := w.begins("latency", "downstream", `"latency":200`)
	defer ends()
	l.start()
	for range 5 {
		l.works(patience)
		if !l.log.Up() {
			t.Error("Up tells of an outage")
		}
	}
	l.verify()
	if n := connects(t, r); n != 1 || l.failures.Load() > 0 {
		t.Errorf("%v connections, %d failed appends", n, l.failures.Load())
	}
}

// TestNarrow has reads that take longer than a probe may, on a connection that has
// no room for anything else: the server is slow, not away.
func TestNarrow(t *testing.T) {
	t.Parallel()
	l, w, r := newLoadThrough(t, 0)
	const count = 14
	for i := range int64(count) {
		big := event("test.big")
		big.Stored.Data = []byte(`"` + strings.Repeat("x", 100<<10) + `"`)
		if _, err := l.log.Append(t.Context(), "big", i-1, big); err != nil {
			t.Fatal(err)
		}
	}
	ends := w.begins("bandwidth", "downstream", `"rate":600`)
	defer ends()
	var reads sync.WaitGroup
	for range 2 {
		reads.Go(func() {
			if page, err := l.log.Read(t.Context(), "big", 0, count); err != nil || len(page) != count {
				t.Errorf("%d events, %v", len(page), err)
			}
		})
	}
	reads.Wait()
	if !l.log.Up() || connects(t, r) != 1 {
		t.Errorf("Up is %t, after %v connections", l.log.Up(), connects(t, r))
	}
	l.settle()
	l.close()
}

// TestCloseLetsCallsEnd closes a log in the middle of an append.
func TestCloseLetsCallsEnd(t *testing.T) {
	t.Parallel()
	l, w, _ := newLoadThrough(t, 0)
	defer w.begins("latency", "downstream", `"latency":200`)()
	l.running.Go(func() {
		pprof.Do(t.Context(), pprof.Labels("log", l.label), func(ctx context.Context) {
			if _, err := l.log.Append(ctx, "s", eventlog.NoStream, events(1)...); err != nil {
				t.Errorf("an append that was under way: %v", err)
			}
		})
	})
	l.wait("the append is under way", patience, func() bool { return strings.Contains(l.goroutines(), "AppendToStream") })
	l.close()
	l.running.Wait()
}
