package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// Item is what a follower meets: one record, or the news that it has caught up
// with the log, or that it lost the log and looks for it.
type Item struct {
	Record   Record
	CaughtUp bool
	Lost     bool
}

// handlerError marks an error as the handler's own, so that it ends the follower.
type handlerError struct{ err error }

func (e handlerError) Error() string { return e.err.Error() }
func (e handlerError) Unwrap() error { return e.err }

// Follow hands every event after position to handle, in log order and one at a
// time, the server's own events left out, until ctx ends or handle fails. It
// outlives the log's outages: after each it goes on behind the last event that
// handle accepted. Handle may be told more than once that it has caught up.
//
// Followers that have caught up share one subscription. A slow one does not keep
// the others waiting.
func (l *Log) Follow(ctx context.Context, after Position, handle func(Item) error) error {
	l.metrics.followers.Inc()
	defer l.metrics.followers.Dec()
	reader := l.tails.join(ctx, l, after, false)
	for {
		if reader == nil {
			var err error
			if reader, err = l.catchUp(ctx, &after, handle); err != nil {
				return err
			}
		}
		err := reader.read(ctx, &after, handle)
		l.tails.leave(reader)
		if !errors.Is(err, errBehind) {
			return err
		}
		reader = nil
	}
}

// catchUp follows the log by itself until it can go on at the tail.
func (l *Log) catchUp(ctx context.Context, after *Position, handle func(Item) error) (*tailReader, error) {
	var reader *tailReader
	caughtUp := false
	err := l.subscribed(ctx, after, func(item Item) error {
		if err := handle(item); err != nil {
			return err
		}
		if item.isRecord() {
			*after = item.Record.Position
		} else {
			caughtUp = item.CaughtUp
		}
		if caughtUp {
			if reader = l.tails.join(ctx, l, *after, true); reader != nil {
				return errCaughtUp
			}
		}
		return nil
	})
	if reader != nil {
		return reader, nil
	}
	return nil, err
}

// errCaughtUp ends a subscription that has brought its follower to the tail.
var errCaughtUp = errors.New("the follower has caught up")

// subscribed hands what a subscription of its own brings to handle, and moves
// after behind it.
func (l *Log) subscribed(ctx context.Context, after *Position, handle func(Item) error) error {
	l.metrics.subscriptions.Inc()
	defer l.metrics.subscriptions.Dec()
	pause := reconnectMin
	for {
		progress, err := l.followOnce(ctx, after, handle)
		if h, ok := errors.AsType[handlerError](err); ok {
			return h.err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if progress {
			pause = reconnectMin
		}
		if err := handle(Item{Lost: true}); err != nil {
			return err
		}
		l.logger.WarnContext(ctx, "following the event log was interrupted",
			slog.Any("error", err), slog.String("position", after.String()), slog.Duration("retry_in", pause))
		wait(ctx, pause)
		pause = min(pause*2, reconnectMax)
	}
}

func (l *Log) followOnce(ctx context.Context, after *Position, handle func(Item) error) (progress bool, err error) {
	conn, err := l.connector.borrow(ctx)
	if err != nil {
		return false, err
	}
	defer l.connector.leave()
	subscribeCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a server that went silent ends no subscription
		select {
		case <-conn.lost:
			cancel()
		case <-subscribeCtx.Done():
		}
	}()
	sub, err := l.subscribe(subscribeCtx, conn, *after)
	if err != nil {
		if connectionLost(err) && !gone(ctx) {
			l.connector.lose(conn, err)
		}
		return false, err
	}
	defer conn.calls.Done()
	for {
		e := sub.Recv()
		if e.SubscriptionDropped == nil {
			conn.heard()
		}
		switch {
		case e.SubscriptionDropped != nil:
			if connectionLost(e.SubscriptionDropped.Error) && !gone(ctx) {
				l.connector.lose(conn, e.SubscriptionDropped.Error)
			}
			return progress, fmt.Errorf("subscription dropped: %w", e.SubscriptionDropped.Error)
		case e.EventAppeared != nil && e.EventAppeared.Event != nil:
			r := toRecord(e.EventAppeared.Event)
			if err := handle(Item{Record: r}); err != nil {
				return progress, handlerError{err}
			}
			*after, progress = r.Position, true
		case e.CheckPointReached != nil:
			if p := known(e.CheckPointReached.Commit, e.CheckPointReached.Prepare); after.Less(p) {
				*after, progress = p, true
			}
		case e.CaughtUp != nil:
			if err := handle(Item{CaughtUp: true}); err != nil {
				return progress, handlerError{err}
			}
			progress = true
		}
	}
}

// subscribe opens the subscription under a bound: the client may hold the call
// while it looks for a server. On success conn stays borrowed.
func (l *Log) subscribe(ctx context.Context, conn *connection, after Position) (*esdb.Subscription, error) {
	o := esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: esdb.ExcludeSystemEventsFilter(), MaxSearchWindow: 32, CheckpointInterval: 32}
	if !after.IsZero() {
		o.From = esdb.Position{Commit: after.Commit, Prepare: after.Prepare}
	}
	opened := make(chan outcome[*esdb.Subscription], 1)
	ctx, cancel := context.WithCancel(l.connector.outgoing(ctx))
	go func() {
		opened <- shielded(ctx, conn, func(ctx context.Context, conn *connection) (*esdb.Subscription, error) {
			return conn.client.SubscribeToAll(ctx, o)
		})
	}()
	timer := time.NewTimer(readBound)
	defer timer.Stop()
	select {
	case o := <-opened:
		if o.err != nil {
			cancel()
			conn.calls.Done()
			return nil, fmt.Errorf("subscribe to the whole log: %w", o.err)
		}
		context.AfterFunc(ctx, cancel)
		return o.value, nil
	case <-timer.C:
	case <-ctx.Done():
	}
	cancel()
	go func() { // the client still has the call, and with it the connection
		defer conn.calls.Done()
		if o := <-opened; o.err == nil {
			if err := o.value.Close(); err != nil {
				l.logger.Warn("close late subscription", slog.Any("error", err))
			}
		}
	}()
	return nil, errBound
}
