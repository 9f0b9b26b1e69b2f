package eventlog

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

const (
	reconnectMin = 50 * time.Millisecond
	reconnectMax = time.Second
	// probeBound bounds one question whether the server is there, and probeEvery is
	// how long a connection may be silent before it is asked.
	probeBound = 2 * time.Second
	probeEvery = time.Second
	// discoverAttempts times the client's interval is how long it looks for a
	// server before it closes itself: for ever, in practice. A client that is
	// never given up on never strands the calls that wait for it.
	discoverAttempts = 1 << 30
	// discoverSeconds bounds one of these attempts.
	discoverSeconds = 2
	// complainEvery is how often an absent server is spoken of.
	complainEvery = 10 * time.Second
)

// connector owns the client.
type connector struct {
	config  esdb.Configuration
	auth    string
	logger  *slog.Logger
	metrics *metrics
	slots   chan struct{}
	stray   chan struct{}
	retired sync.WaitGroup
	search  search

	mu       sync.Mutex
	current  *connection   // nil while there is no server
	changed  chan struct{} // closed, and replaced, when current changes
	closed   bool
	attended int           // calls and followers that somebody waits for
	deserted chan struct{} // closed when it is closed and nobody waits for anything
}

func newConnector(o Options, m *metrics) (*connector, error) {
	config, err := o.configuration()
	if err != nil {
		return nil, err
	}
	c := &connector{
		config:   config,
		logger:   o.Logger,
		metrics:  m,
		changed:  make(chan struct{}),
		deserted: make(chan struct{}),
		slots:    make(chan struct{}, maxCalls),
		stray:    make(chan struct{}, maxAbandoned),
	}
	if config.Username != "" {
		c.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(config.Username+":"+config.Password))
	}
	return c, nil
}

// run keeps a working client until ctx ends.
func (c *connector) run(ctx context.Context) {
	defer c.close()
	pause := reconnectMin
	for ctx.Err() == nil {
		conn, err := c.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.logger.WarnContext(ctx, "event log not reachable", slog.Any("error", err), slog.Duration("retry_in", pause))
			wait(ctx, pause)
			pause = min(pause*2, reconnectMax)
			continue
		}
		pause = reconnectMin
		c.publish(conn)
		c.watch(ctx, conn)
		if ctx.Err() == nil {
			c.retire(conn)
		} else {
			c.close() // the calls in flight may end in peace
		}
		c.dispose(conn)
	}
}

// connect makes a client that has answered. The client looks for a server by
// itself: while it does, no other is made that would look as well.
func (c *connector) connect(ctx context.Context) (_ *connection, err error) {
	conn := &connection{lost: make(chan struct{})}
	config := c.config
	config.Logger = func(level esdb.LogLevel, format string, args ...any) { c.listen(conn, level, format, args) }
	if conn.client, err = esdb.NewClient(&config); err != nil {
		return nil, fmt.Errorf("make event log client: %w", err)
	}
	defer func() {
		if err != nil {
			c.dispose(conn)
		}
	}()
	for pause := reconnectMin; ; pause = min(pause*2, reconnectMax) {
		err := c.ask(ctx, conn)
		switch {
		case err == nil:
			return conn, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case statusOf(err) == codes.DeadlineExceeded: // the search took longer than the question may
		case connectionLost(err): // the client would not close its old connection
			return nil, fmt.Errorf("ask event log: %w", err)
		default: // it is there, and refuses
			c.logger.WarnContext(ctx, "event log refuses to answer", slog.Any("error", err), slog.Duration("retry_in", pause))
		}
		wait(ctx, pause)
	}
}

// ask asks a new client for something, and waits until it returns, however long
// it looks for a server.
func (c *connector) ask(ctx context.Context, conn *connection) error {
	conn.calls.Add(1)
	answered := make(chan outcome[struct{}], 1)
	callCtx, cancel := context.WithTimeout(c.outgoing(ctx), probeBound)
	defer cancel()
	go func() {
		defer conn.calls.Done()
		answered <- shielded(callCtx, conn, ping)
	}()
	complain := time.NewTicker(complainEvery)
	defer complain.Stop()
	for since := time.Now(); ; {
		select {
		case o := <-answered:
			return o.err
		case <-ctx.Done():
			return ctx.Err()
		case <-complain.C:
			c.logger.WarnContext(ctx, "event log not reachable", slog.String("error", c.search.reason()), slog.Duration("since", time.Since(since)))
		}
	}
}

// ping asks for as little as can be asked for.
func ping(ctx context.Context, conn *connection) (struct{}, error) {
	page, err := conn.client.ReadAll(ctx, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
	if err != nil {
		return struct{}{}, err
	}
	_, err = collect(conn, page)
	return struct{}{}, err
}

// watch returns when conn is lost or ctx ends. It asks a silent server whether it
// is there: the connection may be gone without anybody having said so.
func (c *connector) watch(ctx context.Context, conn *connection) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	known := conn.answers.Load()
	for {
		select {
		case <-conn.lost:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := conn.answers.Load(); now != known {
			known = now
			continue
		}
		conn.calls.Add(1) // it is not disposed of before this returns
		_, err := bounded(c, ctx, conn, probeBound, ping)
		// Whatever else was answered meanwhile says that the server is slow, no more.
		if err != nil && connectionLost(err) && !gone(ctx) && conn.answers.Load() == known {
			c.lose(conn, err)
			return
		}
		known = conn.answers.Load()
	}
}

func (c *connector) publish(conn *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change(conn)
	c.metrics.up.Set(1)
	c.metrics.connects.Inc()
}

// lose retires a connection that turned out not to work.
func (c *connector) lose(conn *connection, cause error) {
	if c.retire(conn) {
		c.logger.Warn("event log connection lost", slog.Any("error", cause))
	}
}

// retire sees to it that nobody borrows conn any more. It reports whether that is
// new.
func (c *connector) retire(conn *connection) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-conn.lost:
		return false
	default:
	}
	close(conn.lost)
	if c.current == conn {
		c.change(nil)
		c.metrics.up.Set(0)
	}
	return true
}

// change is called with the lock.
func (c *connector) change(conn *connection) {
	c.current = conn
	close(c.changed)
	c.changed = make(chan struct{})
}

// dispose closes conn's client once no call can touch it any more.
func (c *connector) dispose(conn *connection) {
	c.retired.Go(func() {
		conn.calls.Wait()
		if err := conn.client.Close(); err != nil {
			c.logger.Warn("close event log client", slog.Any("error", err))
		}
	})
}

// borrow waits for a working client as long as ctx allows. Whoever borrows a
// connection ends with conn.calls.Done, and leaves when nobody waits for the
// outcome any more.
func (c *connector) borrow(ctx context.Context) (*connection, error) {
	for {
		c.mu.Lock()
		conn, changed, closed := c.current, c.changed, c.closed
		if conn != nil {
			conn.calls.Add(1)
			c.attended++
		}
		c.mu.Unlock()
		if conn != nil {
			return conn, nil
		}
		if closed {
			return nil, errUnsent
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, errUnsent
		}
	}
}

// await waits for a working client without borrowing it.
func (c *connector) await(ctx context.Context) error {
	conn, err := c.borrow(ctx)
	if err != nil {
		return err
	}
	conn.calls.Done()
	c.leave()
	return nil
}

func (c *connector) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attended--; c.attended == 0 && c.closed {
		close(c.deserted)
	}
}

// close lets nobody in any more.
func (c *connector) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	c.change(nil)
	c.metrics.up.Set(0)
	if c.attended == 0 {
		close(c.deserted)
	}
}

func (c *connector) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
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

// search is the clients' search for a server.
type search struct {
	over atomic.Bool
	last atomic.Pointer[string]
}

// What the client logs: before it sends itself the news that its connection
// broke, on the goroutine of the call that found it out; and before each attempt
// to find a server, on the goroutine that looks for one.
const (
	breaking  = "unexpected exception: %v"
	searching = "discovery attempt %v/%v"
)

// listen hears what conn's client logs. It is the only way to know of a broken
// connection before the client does, and the only way to have the client stop to
// look for a server, which nothing else would end once everybody has left.
func (c *connector) listen(conn *connection, level esdb.LogLevel, format string, args []any) {
	switch {
	case format == breaking && len(args) == 1:
		if err, ok := args[0].(error); ok && statusOf(err) == codes.Unavailable {
			conn.broken(func() { c.lose(conn, err) })
		}
	case format == searching && c.search.over.Load():
		runtime.Goexit()
	case level == esdb.LogWarn:
		reason := fmt.Sprintf(format, args...)
		c.search.last.Store(&reason)
	}
}

func (s *search) reason() string {
	if r := s.last.Load(); r != nil {
		return *r
	}
	return ""
}
