package reactors_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/commands/reactors"
	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/feed"
	"github.com/g4fagent/g4fagent/internal/postgres"
)

// node is a running set of reactors.
type node struct {
	*reactors.Reactors

	house   *house
	feed    *feed.Feed
	metrics *prometheus.Registry
	said    *said
	cancel  context.CancelCauseFunc
	ended   chan error
}

// options of a node; zero is usual.
type options struct {
	id      string
	workers int
	grace   time.Duration
	agent   agent.Options
}

// node makes reactors that do not run yet.
func (h *house) node(o options) *node {
	h.t.Helper()
	if o.id == "" {
		o.id = "node"
	}
	if o.agent.Providers == nil {
		o.agent.Providers = h.model
	}
	n := &node{house: h, feed: feed.New(h.log, time.Now), metrics: prometheus.NewRegistry(), said: &said{}, ended: make(chan error, 1)}
	r, err := reactors.New(reactors.Options{
		DB: h.db, Log: h.log, Feed: n.feed, Handlers: h.handlers, Executor: agent.New(o.agent), Sealer: keys{},
		InstallationID: installation, NodeID: o.id, RunWorkers: o.workers, Grace: o.grace,
		Logger: slog.New(n.said), Registerer: n.metrics,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	reactors.SetRetry(r, 50*time.Millisecond)
	n.Reactors = r
	return n
}

// start makes reactors and runs them until stop or the test's end.
func (h *house) start(o options) *node {
	h.t.Helper()
	n := h.node(o)
	n.run()
	h.until("the reactors run", func() bool { return n.Status() != nil })
	return n
}

func (n *node) run() {
	t := n.house.t
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(t.Context()))
	n.cancel = cancel
	feeding := make(chan struct{})
	go func() {
		defer close(feeding)
		if err := n.feed.Run(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("feed: %v", err)
		}
	}()
	go func() {
		n.ended <- n.Run(ctx)
		close(n.ended)
	}()
	t.Cleanup(func() {
		n.stop()
		<-feeding
		if t.Failed() {
			t.Logf("the node said:\n%s", n.said)
		}
	})
}

// stop ends the node as a signal would.
func (n *node) stop() {
	n.cancel(nil)
	n.house.t.Helper()
	select {
	case err := <-n.ended:
		if err != nil && !errors.Is(err, postgres.ErrLeadershipLost) {
			n.house.t.Errorf("the node ended with %v", err)
		}
	case <-time.After(patience):
		n.house.t.Error("the node did not end")
	}
}

// said keeps what a node logged, for the message of a failed test.
type said struct {
	mu    sync.Mutex
	lines []string
}

func (*said) Enabled(context.Context, slog.Level) bool { return true }
func (s *said) WithAttrs([]slog.Attr) slog.Handler     { return s }
func (s *said) WithGroup(string) slog.Handler          { return s }

func (s *said) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
	return nil
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines[max(0, len(s.lines)-30):], "\n")
}
