package eventlog

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/metadata"
)

// The official client closes itself for ever when it cannot find a server, holds
// calls beyond their deadlines while it looks for one, and panics when it is
// closed under a call. So nobody but connector ever holds a client: calls borrow
// the one that is known to work, a client that failed is retired and closed when
// its last call has ended, and its successor is published after it has answered.

const (
	reconnectMin = 50 * time.Millisecond
	reconnectMax = 5 * time.Second
	probeBound   = 3 * time.Second
	// discoverAttempts times the client's interval is how long it looks for a
	// server before it closes itself: for ever, in practice. A client that is
	// never given up on never strands the calls that wait for it.
	discoverAttempts = 1 << 30
	// maxCalls bounds the calls in flight. A server takes 100 on one connection
	// and lets the next wait in silence; subscriptions need some of them.
	maxCalls = 80
	// maxAbandoned bounds the calls that the client holds beyond their bound.
	maxAbandoned = 1024
)

// connection is one client and the calls that borrow it.
type connection struct {
	client *esdb.Client
	calls  sync.WaitGroup
	lost   chan struct{}
	once   sync.Once
}

func (c *connection) retire() { c.once.Do(func() { close(c.lost) }) }

// connector owns the client.
type connector struct {
	config  esdb.Configuration
	auth    string
	logger  *slog.Logger
	metrics *metrics

	mu      sync.Mutex
	current *connection   // nil while there is no server
	changed chan struct{} // closed, and replaced, when current changes
	slots   chan struct{}
	stray   chan struct{}
	retired sync.WaitGroup
}

func newConnector(o Options, m *metrics) (*connector, error) {
	config, err := o.configuration()
	if err != nil {
		return nil, err
	}
	c := &connector{
		config:  config,
		logger:  o.Logger,
		metrics: m,
		changed: make(chan struct{}),
		slots:   make(chan struct{}, maxCalls),
		stray:   make(chan struct{}, maxAbandoned),
	}
	if config.Username != "" {
		c.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(config.Username+":"+config.Password))
	}
	return c, nil
}

// run keeps a working client until ctx ends.
func (c *connector) run(ctx context.Context) {
	pause := reconnectMin
	for ctx.Err() == nil {
		conn, err := c.connect(ctx)
		if err != nil {
			c.logger.WarnContext(ctx, "event log not reachable", slog.Any("error", err), slog.Duration("retry_in", pause))
			wait(ctx, pause)
			pause = min(pause*2, reconnectMax)
			continue
		}
		pause = reconnectMin
		c.publish(conn)
		select {
		case <-conn.lost:
			c.logger.WarnContext(ctx, "event log connection lost")
		case <-ctx.Done():
		}
		c.publish(nil)
		c.dispose(conn)
	}
}

// connect makes a client and asks it for something: a client that has not
// answered yet may still be looking for a server.
func (c *connector) connect(ctx context.Context) (*connection, error) {
	config := c.config
	client, err := esdb.NewClient(&config)
	if err != nil {
		return nil, fmt.Errorf("make event log client: %w", err)
	}
	conn := &connection{client: client, lost: make(chan struct{})}
	conn.calls.Add(1)
	_, err = bounded(c, ctx, conn, probeBound, func(ctx context.Context, client *esdb.Client) (struct{}, error) {
		_, err := readLast(ctx, client)
		return struct{}{}, err
	})
	if err != nil {
		c.dispose(conn)
		return nil, fmt.Errorf("ask event log: %w", err)
	}
	return conn, nil
}

func (c *connector) publish(conn *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = conn
	close(c.changed)
	c.changed = make(chan struct{})
	if conn == nil {
		c.metrics.up.Set(0)
		return
	}
	c.metrics.up.Set(1)
	c.metrics.connects.Inc()
}

// dispose closes conn's client once no call can touch it any more.
func (c *connector) dispose(conn *connection) {
	conn.retire()
	c.retired.Go(func() {
		conn.calls.Wait()
		if err := conn.client.Close(); err != nil {
			c.logger.Warn("close event log client", slog.Any("error", err))
		}
	})
}

// borrow waits for a working client as long as ctx allows. Whoever borrows a
// connection ends with conn.calls.Done.
func (c *connector) borrow(ctx context.Context) (*connection, error) {
	for {
		c.mu.Lock()
		conn, changed := c.current, c.changed
		if conn != nil {
			conn.calls.Add(1)
			c.mu.Unlock()
			return conn, nil
		}
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ErrUnavailable
		}
	}
}

func (c *connector) up() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current != nil
}

// outgoing adds what the client leaves out: credentials on plaintext
// connections, and the wish to speak to the leader.
func (c *connector) outgoing(ctx context.Context) context.Context {
	if c.auth != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", c.auth)
	}
	return metadata.AppendToOutgoingContext(ctx, "requires-leader", "true")
}

// call borrows a client for one request of at most bound. It waits for a client
// as long as ctx allows, and returns when ctx ends even if the client does not.
func call[T any](c *connector, ctx context.Context, bound time.Duration, request func(context.Context, *esdb.Client) (T, error)) (T, error) {
	var zero T
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return zero, ErrUnavailable
	}
	conn, err := c.borrow(ctx)
	if err != nil {
		return zero, err
	}
	value, err := bounded(c, ctx, conn, bound, request)
	if err != nil && connectionLost(err) && !gone(ctx) {
		conn.retire()
	}
	return value, err
}

type outcome[T any] struct {
	value T
	err   error
}

// bounded runs request on conn, which the caller has borrowed, and stops waiting
// for it a little after bound. The request itself keeps conn until it returns.
func bounded[T any](
	c *connector, ctx context.Context, conn *connection, bound time.Duration, request func(context.Context, *esdb.Client) (T, error),
) (T, error) {
	var zero T
	select {
	case c.stray <- struct{}{}:
	default:
		conn.calls.Done()
		return zero, ErrUnavailable
	}
	done := make(chan outcome[T], 1)
	callCtx, cancel := context.WithTimeout(c.outgoing(ctx), bound)
	go func() {
		defer func() { <-c.stray }()
		defer conn.calls.Done()
		defer cancel()
		done <- shielded(callCtx, conn.client, request)
	}()
	timer := time.NewTimer(bound + bound/4)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.value, o.err
	case <-timer.C:
		cancel()
		return zero, errBound
	case <-ctx.Done():
		cancel()
		return zero, ctx.Err()
	}
}

// shielded turns a panic of the client into an error: the client panics on
// messages that it does not know.
func shielded[T any](ctx context.Context, client *esdb.Client, request func(context.Context, *esdb.Client) (T, error)) (o outcome[T]) {
	defer func() {
		if p := recover(); p != nil {
			o.err = fmt.Errorf("event log client panicked: %v: %w", p, errBound)
		}
	}()
	o.value, o.err = request(ctx, client)
	return o
}

// wait sleeps for d or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
