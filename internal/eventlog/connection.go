package eventlog

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// The official client closes itself for ever when it gives up looking for a
// server, holds calls beyond their deadlines while it looks for one, and panics
// when it is closed under a call. So nobody but connector ever holds a client:
// calls borrow the one that is known to work, a client that failed is retired and
// closed when its last call has ended, and its successor is published after it
// has answered.

const (
	// maxCalls bounds the calls in flight. A server takes 100 on one connection
	// and lets the next wait in silence; subscriptions need some of them.
	maxCalls = 80
	// maxAbandoned bounds the calls that the client holds beyond their bound.
	maxAbandoned = 1024
	// lostGrace is how long a call may still take once its connection is lost: an
	// answer may be on its way, but most of them never come.
	lostGrace = time.Second
)

// connection is one client and the calls that borrow it.
type connection struct {
	client *esdb.Client
	calls  sync.WaitGroup
	lost   chan struct{} // closed when nobody shall borrow it any more
	// entering is held by calls until the client has given them a connection.
	entering sync.RWMutex
	// answers counts what came from the server. A server that answers nothing is
	// away; one that answers late is only slow.
	answers atomic.Int64
}

func (c *connection) heard() { c.answers.Add(1) }

// enter lets a call into the client. When the client has learned that its
// connection broke, the next call makes it look for another server, which holds
// the call and leaves the old connection open for ever. So a call that would come
// after that does not get in, and none is on its way in while the client learns of
// it. The context returned is nil then; it tells by its first use that the client
// has given the call a connection.
func (c *connection) enter(ctx context.Context) (_ context.Context, entered func()) {
	c.entering.RLock()
	select {
	case <-c.lost:
		c.entering.RUnlock()
		return nil, nil
	default:
	}
	entered = sync.OnceFunc(c.entering.RUnlock)
	return enteringContext{ctx, entered}, entered
}

// broken is called when the client is about to learn that its connection broke.
func (c *connection) broken(retire func()) {
	c.entering.Lock()
	defer c.entering.Unlock()
	retire()
}

// enteringContext tells of its first use. The client does not look at a call's
// context before it has a connection for it.
type enteringContext struct {
	context.Context //nolint:containedctx // it is one

	entered func()
}

func (c enteringContext) Deadline() (time.Time, bool) {
	c.entered()
	return c.Context.Deadline()
}

// call makes one request of at most bound. It waits for a connection as long as
// patience allows, and returns when ctx ends even if the client does not. An error
// that matches errUnsent says that the request was never made.
func call[T any](
	c *connector, ctx context.Context, patience, bound time.Duration, request func(context.Context, *connection) (T, error),
) (T, error) {
	var zero T
	conn, leave, err := c.enter(ctx, patience, bound)
	if err != nil {
		return zero, err
	}
	defer leave()
	value, err := bounded(c, ctx, conn, bound, request)
	if err != nil && connectionLost(err) && !gone(ctx) {
		c.lose(conn, err)
	}
	return value, err
}

// enter borrows the connection for a call, when it is the call's turn.
func (c *connector) enter(ctx context.Context, patience, bound time.Duration) (_ *connection, leave func(), _ error) {
	ready, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.await(ready); err != nil { // without a turn, which others need
		return nil, nil, err
	}
	turn, cancel := context.WithTimeout(ctx, patience+bound)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
	case <-turn.Done():
		return nil, nil, errUnsent
	}
	conn, err := c.borrow(ready)
	if err != nil {
		<-c.slots
		return nil, nil, err
	}
	return conn, func() { <-c.slots; c.leave() }, nil
}

type outcome[T any] struct {
	value T
	err   error
}

// bounded runs request on conn, which the caller has borrowed, and stops waiting
// for it a little after bound, or after conn is lost. The request itself keeps
// conn until it returns.
func bounded[T any](
	c *connector, ctx context.Context, conn *connection, bound time.Duration, request func(context.Context, *connection) (T, error),
) (T, error) {
	var zero T
	select {
	case c.stray <- struct{}{}:
	default:
		conn.calls.Done()
		return zero, errUnsent
	}
	callCtx, cancel := context.WithTimeout(c.outgoing(ctx), bound)
	defer cancel() // ends the request, if the client lets it
	done := make(chan outcome[T], 1)
	go func() {
		defer func() { <-c.stray }()
		defer conn.calls.Done()
		done <- shielded(callCtx, conn, request)
	}()
	late := time.NewTimer(bound + bound/4)
	defer late.Stop()
	lost := conn.lost
	for {
		select {
		case o := <-done:
			if o.err == nil || !connectionLost(o.err) {
				conn.heard()
			}
			return o.value, o.err
		case <-late.C:
			return zero, errBound
		case <-ctx.Done():
			return zero, ctx.Err()
		case <-lost:
			lost = nil
			late.Reset(min(lostGrace, bound))
		}
	}
}

// shielded turns a panic of the client into an error: the client panics on
// messages that it does not know.
func shielded[T any](ctx context.Context, conn *connection, request func(context.Context, *connection) (T, error)) (o outcome[T]) {
	defer func() {
		if p := recover(); p != nil {
			o.err = fmt.Errorf("event log client panicked: %v: %w", p, errBound)
		}
	}()
	ctx, entered := conn.enter(ctx)
	if ctx == nil {
		o.err = errUnsent
		return o
	}
	defer entered()
	o.value, o.err = request(ctx, conn)
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
