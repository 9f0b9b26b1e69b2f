package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/prometheus/client_golang/prometheus"
)

// Options say where the log is. Exactly one of URL and Address is set.
type Options struct {
	// URL is a connection string: esdb://, esdb+discover://.
	URL string
	// Address is a gRPC target that a URL cannot express, such as unix:/path.
	// The connection is not encrypted.
	Address string
	// Username and Password, if set, win over those of the URL.
	Username, Password string
	// Patience is how long a call waits for a server that is away; 2 s if zero.
	Patience time.Duration
	Logger   *slog.Logger
	// Registerer may be nil.
	Registerer prometheus.Registerer
}

// CheckURL says what is wrong with an Options.URL, without asking the server, and
// without repeating any of it: it may hold a password.
func CheckURL(raw string) error {
	_, err := esdb.ParseConnectionString(raw)
	if err != nil {
		return errors.New("want esdb://user:password@host:port?tls=false or, for a cluster, esdb+discover://host:port")
	}
	return nil
}

func (o Options) configuration() (esdb.Configuration, error) {
	var config *esdb.Configuration
	if o.Address != "" {
		// Only a parsed configuration has the client's defaults.
		parsed, err := esdb.ParseConnectionString("esdb://localhost:1?tls=false")
		if err != nil {
			return esdb.Configuration{}, fmt.Errorf("make event log configuration: %w", err)
		}
		parsed.Address = o.Address
		config = parsed
	} else {
		parsed, err := esdb.ParseConnectionString(o.URL)
		if err != nil {
			return esdb.Configuration{}, fmt.Errorf("read the event log's connection string: %w", err)
		}
		config = parsed
	}
	if o.Username != "" {
		config.Username, config.Password = o.Username, o.Password
	}
	config.MaxDiscoverAttempts = discoverAttempts
	config.GossipTimeout = discoverSeconds
	return *config, nil
}

// Log is the event log. It is safe for concurrent use. It never gives up on a
// server: calls fail with ErrUnavailable while it is away, followers wait.
type Log struct {
	connector *connector
	tails     tails
	metrics   *metrics
	patience  time.Duration
	logger    *slog.Logger
	stop      context.CancelFunc
	stopped   chan struct{}
}

// Open starts to keep a connection to the log and returns at once; Ready waits
// for it. Close ends it.
func Open(ctx context.Context, o Options) (*Log, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Patience == 0 {
		o.Patience = 2 * time.Second
	}
	m := newMetrics(o.Registerer)
	c, err := newConnector(o, m)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &Log{connector: c, metrics: m, patience: o.Patience, logger: o.Logger, stop: stop, stopped: make(chan struct{})}
	go func() {
		defer close(l.stopped)
		c.run(ctx)
	}()
	return l, nil
}

// Ready waits until the log answers, or ctx ends.
func (l *Log) Ready(ctx context.Context) error {
	if err := l.connector.await(ctx); err != nil {
		return fmt.Errorf("wait for the event log: %w", errors.Join(err, ctx.Err()))
	}
	return nil
}

// Up reports whether the log answers. It learns at once that a connection ended,
// and within 5 s that a server went silent.
func (l *Log) Up() bool { return l.connector.up() }

// Close ends the connection once the calls and followers that somebody waits for
// have ended, or ctx has. While the server is away the client may hold calls that
// everybody has given up; they end when the process does, and keep nothing busy.
func (l *Log) Close(ctx context.Context) error {
	l.stop()
	<-l.stopped
	select {
	case <-l.connector.deserted:
	case <-ctx.Done():
		return fmt.Errorf("close event log: calls still in flight: %w", ctx.Err())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.connector.retired.Wait()
	}()
	ctx, cancel := context.WithTimeout(ctx, abandonedGrace)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
		l.connector.search.over.Store(true)
	}
	return nil
}

// abandonedGrace is how long Close waits for calls that nobody waits for.
const abandonedGrace = time.Second

// patient makes one request of at most bound, and waits for a server that is away
// as long as the log's patience. Its error is a context's only if ctx has ended.
func patient[T any](l *Log, ctx context.Context, bound time.Duration, request func(context.Context, *connection) (T, error)) (T, error) {
	value, err := call(l.connector, ctx, l.patience, bound, request)
	return value, settled(ctx, err)
}
