package reactors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/failpoint"
)

const (
	// A checkpoint moves past events that its reactor does not want after so many,
	// or after so long: a restart must not read the log's history again.
	passEvery = 1000
	passAfter = 5 * time.Second
	// retryAfter is how long an event waits that its reactor could not handle.
	retryAfter = time.Second
	// commitBound ends a transaction whose connection is gone without notice.
	commitBound = 30 * time.Second
)

// follower brings a reactor behind the log and keeps it there.
type follower struct {
	reactor
	*Reactors
	retry time.Duration

	// at is the checkpoint as this follower left it. Deliveries come one at a time,
	// and only they use it.
	at      eventlog.Position
	restart context.CancelCauseFunc

	mu       sync.Mutex
	position eventlog.Position // up to where nothing is left to do
	eventAt  time.Time         // when the event there happened, or else delivery began
	unwanted int
	movedAt  time.Time
	stuck    *Stuck
}

// run follows the log until ctx ends.
func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		f.logger.WarnContext(ctx, "reactor begins anew behind its checkpoint", slog.String("reactor", f.name), slog.Any("cause", err))
		pause(ctx, f.retry)
	}
}

// follow delivers the log from the checkpoint on, one event at a time and each
// until it is handled. It returns when ctx ends, or why delivery must begin anew.
func (f *follower) follow(ctx context.Context) error {
	if err := f.load(ctx); err != nil {
		return err
	}
	logger := watermill.NewSlogLogger(f.quiet.With(slog.String("reactor", f.name)))
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: commitBound}, logger)
	if err != nil {
		return fmt.Errorf("make the router: %w", err)
	}
	router.AddMiddleware(f.observe, middleware.Recoverer)
	ctx, f.restart = context.WithCancelCause(ctx)
	defer f.restart(nil)
	source := eventlog.NewSubscriber(f.log, eventlog.SubscriberOptions{
		After:  func(context.Context) (eventlog.Position, error) { return f.at, nil },
		Window: 1, Pause: f.retry, Want: f.want,
	})
	router.AddConsumerHandler(f.name, "", source, f.handle)
	if err := router.Run(ctx); err != nil {
		return fmt.Errorf("follow the log: %w", err)
	}
	return context.Cause(ctx)
}

func (f *follower) load(ctx context.Context) error {
	at, err := f.checkpoints(ctx, f.pool)
	if err != nil {
		return err
	}
	position, ok := at[f.name]
	if !ok {
		return errors.New("the checkpoint is gone")
	}
	f.at = position
	f.mu.Lock()
	defer f.mu.Unlock()
	f.position, f.eventAt, f.movedAt, f.unwanted = position, f.now(), f.now(), 0
	return nil
}

// want passes by what the reactor has no use for, but not for ever: then the
// event is delivered to move the checkpoint.
func (f *follower) want(r eventlog.Record) bool {
	if f.reactions[r.Stored.Name] != nil {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unwanted++
	if f.unwanted >= passEvery || f.now().Sub(f.movedAt) >= passAfter {
		return true
	}
	f.position, f.eventAt = r.Position, r.Meta.At
	return false
}

// handle turns an event into its jobs, and the checkpoint with it.
func (f *follower) handle(msg *message.Message) error {
	r, err := eventlog.RecordOf(msg)
	if err != nil {
		return err
	}
	err = f.turn(msg.Context(), r)
	switch {
	case errors.Is(err, errMoved):
		f.restart(errMoved)
	case err != nil:
		return fmt.Errorf("turn %s at position %s into jobs: %w", r.Stored.Name, r.Position, err)
	}
	return err
}

func (f *follower) turn(ctx context.Context, r eventlog.Record) error {
	var jobs []river.InsertManyParams
	if react := f.reactions[r.Stored.Name]; react != nil {
		var err error
		if jobs, err = react(r); err != nil {
			return err
		}
	}
	return f.commit(ctx, r.Position, jobs)
}

// commit moves the checkpoint and inserts the jobs, both or neither: that is what
// makes an event a job exactly once. It need not reach the disk at once: the
// checkpoint is lost with the jobs, and the log has the event.
func (f *follower) commit(ctx context.Context, to eventlog.Position, jobs []river.InsertManyParams) error {
	ctx, cancel := context.WithTimeout(ctx, commitBound)
	defer cancel()
	err := pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `set local synchronous_commit = off`); err != nil {
			return fmt.Errorf("begin a reaction: %w", err)
		}
		if err := move(ctx, tx, f.name, f.at, to); err != nil {
			return err
		}
		return f.insert(ctx, tx, jobs)
	})
	if err == nil {
		f.at = to
	}
	return err
}

func (r *Reactors) insert(ctx context.Context, tx pgx.Tx, jobs []river.InsertManyParams) error {
	if len(jobs) == 0 {
		return nil
	}
	if err := takeTurns(ctx, tx, jobs); err != nil {
		return err
	}
	if _, err := r.inserter.InsertManyFastTx(ctx, tx, jobs); err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	failpoint.Hit(failpoint.Reacted)
	return nil
}

// observe keeps the status: it sees panics as errors, since Recoverer is within.
func (f *follower) observe(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		out, err := next(msg)
		if msg.Context().Err() == nil {
			f.note(msg, err)
		}
		return out, err
	}
}

func (f *follower) note(msg *message.Message, cause error) {
	r, err := eventlog.RecordOf(msg)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case errors.Is(cause, errMoved):
	case cause != nil || err != nil:
		f.stuck = f.stuck.again(r, errors.Join(cause, err), f.now())
	default:
		f.stuck = nil
		f.position, f.eventAt, f.movedAt, f.unwanted = r.Position, r.Meta.At, f.now(), 0
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
