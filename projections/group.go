package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// Topic is what the engine subscribes to: there is one log.
const Topic = "$all"

var (
	errLeft  = errors.New("the members have left for other groups")
	errEnded = errors.New("the subscription ended")
)

// group is a set of projectors with one position and one subscription.
type group struct {
	run   *run
	lease lease

	// The fields below are guarded by run.mu. While busy, only the group's own
	// goroutine changes them.
	roster   *roster
	position eventlog.Position
	busy     bool // a transaction may be under way
	stuck    *stuck
	hold     *hold // a group behind asks this one to wait for it
	lastAt   time.Time
	pending  int       // messages that have arrived and are not committed
	oldest   time.Time // when the first of them happened
	behind   bool      // more to do than readers would wait for
	nextHold time.Time

	// The goroutine's own: what was taken and is not committed, and its bytes.
	buffer []taken
	size   int
}

// taken is a record and the message that is acknowledged for it.
type taken struct {
	record  eventlog.Record
	message *message.Message
}

// behindAge is how old an event may be when it is applied before readers are
// told that the read model lags rather than made to wait.
const behindAge = 5 * time.Second

// loop follows the log until ctx ends or the members belong to other groups.
func (g *group) loop(ctx context.Context) {
	defer g.lease.release()
	o := &g.run.options
	pause := o.OutageMin
	for {
		before := g.position
		err := g.follow(ctx)
		switch {
		case errors.Is(err, errLeft):
			return
		case ctx.Err() != nil:
			g.leave()
			return
		case errors.Is(err, errMoved):
			g.start(ctx, err)
			return
		case err == nil:
			continue
		}
		if g.position != before {
			pause = o.OutageMin
		}
		o.Logger.WarnContext(ctx, "following the log was interrupted", slog.Any("projectors", g.roster.names),
			slog.String("position", g.position.String()), slog.Any("error", err), slog.Duration("retry_in", pause))
		rest(ctx, pause)
		pause = min(pause*2, o.OutageMax)
	}
}

// start begins again from what the checkpoints say: somebody else moved them, or
// Postgres crashed and lost what was not on disk yet.
func (g *group) start(ctx context.Context, why error) {
	members := g.leave().members
	g.run.metrics.restarts.Inc()
	g.run.options.Logger.WarnContext(ctx, "projectors start again from their checkpoints", slog.Any("cause", why),
		slog.Any("projectors", newRoster(members...).names))
	rest(ctx, g.run.options.OutageMin+rand.N(g.run.options.OutageMin)) //nolint:gosec // jitter between two engines
	g.run.regroup(ctx, members, nil)
}

// leave takes the group out of the run.
func (g *group) leave() *roster {
	g.run.mu.Lock()
	defer g.run.mu.Unlock()
	delete(g.run.groups, g)
	g.run.releaseHolds(g)
	g.free()
	return g.roster
}

// follow gets past what the group is stuck at, or consumes a subscription.
func (g *group) follow(ctx context.Context) error {
	if g.stuck != nil {
		return g.endure(ctx)
	}
	if g.meet(ctx) {
		return errLeft
	}
	return g.consume(ctx)
}

// consume applies what a subscription delivers. It returns nil when the group is
// stuck and has no use for a subscription.
func (g *group) consume(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	subscriber := g.run.options.Source(g.position)
	defer func() {
		cancel()
		if err := subscriber.Close(); err != nil {
			g.run.options.Logger.WarnContext(ctx, "close subscription", slog.Any("error", err))
		}
	}()
	messages, err := subscriber.Subscribe(ctx, Topic)
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	g.buffer, g.size = nil, 0
	for g.stuck == nil {
		if err := g.fill(ctx, messages); err != nil {
			return err
		}
		g.arrived(len(messages))
		if err := g.advance(ctx, len(messages)); err != nil {
			return err
		}
	}
	return nil
}

// fill waits for a message and takes what else is there, up to a batch: a batch
// grows with the load and nobody waits for it to fill.
func (g *group) fill(ctx context.Context, messages <-chan *message.Message) error {
	for len(g.buffer) == 0 {
		if len(messages) == 0 {
			g.rest()
		}
		select {
		case m, open := <-messages:
			if err := g.take(m, open); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for len(g.buffer) < g.run.options.MaxBatch && g.size < g.run.options.MaxBatchBytes {
		select {
		case m, open := <-messages:
			if err := g.take(m, open); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// rest notes that nothing is left to apply.
func (g *group) rest() {
	g.run.mu.Lock()
	defer g.run.mu.Unlock()
	if g.behind {
		g.run.options.Awaiter.moved(g.roster.names, g.position, false)
	}
	g.pending, g.behind = 0, false
}

// arrived notes what is there to apply, for as long as that takes: Postgres may be
// away.
func (g *group) arrived(waiting int) {
	g.run.mu.Lock()
	defer g.run.mu.Unlock()
	g.pending, g.oldest = len(g.buffer)+waiting, g.buffer[0].record.Meta.At
}

// take buffers a message, unless it was delivered before.
func (g *group) take(m *message.Message, open bool) error {
	if !open {
		return errEnded
	}
	record, err := eventlog.RecordOf(m)
	if err != nil {
		return fmt.Errorf("read a message: %w", err)
	}
	last := g.position
	if n := len(g.buffer); n > 0 {
		last = g.buffer[n-1].record.Position
	}
	if !last.Less(record.Position) {
		m.Ack()
		return nil
	}
	g.buffer = append(g.buffer, taken{record, m})
	g.size += len(record.Stored.Data)
	return nil
}

// advance applies one batch from the front of the buffer and acknowledges it.
func (g *group) advance(ctx context.Context, waiting int) error {
	records := g.batch()
	if g.halt(&records[0]) {
		return nil
	}
	who, n, err := g.begin(ctx, records)
	if err != nil {
		return err
	}
	records = records[:n]
	err = g.attempt(ctx, who, g.position, records)
	if failed, ok := errors.AsType[*failure](err); ok {
		err = g.isolate(ctx, who, records, failed)
	}
	if err != nil {
		return err
	}
	for _, t := range g.buffer[:n] {
		t.message.Ack()
		g.size -= len(t.record.Stored.Data)
	}
	g.buffer = slices.Delete(g.buffer, 0, n)
	return g.finish(ctx, records, len(g.buffer)+waiting)
}

// batch is the longest front of the buffer that fits one transaction and ends
// before the first event that this build does not know.
func (g *group) batch() []eventlog.Record {
	records := make([]eventlog.Record, 0, len(g.buffer))
	size := 0
	for i := range g.buffer {
		r := g.buffer[i].record
		size += len(r.Stored.Data)
		if i > 0 && (size > g.run.options.MaxBatchBytes || g.run.codec.unknown(&r)) {
			break
		}
		records = append(records, r)
	}
	return records
}

// finish publishes the group's new position and joins a group that is there.
func (g *group) finish(ctx context.Context, records []eventlog.Record, pending int) error {
	last := records[len(records)-1]
	behind := pending > 0 && g.run.options.Now().Sub(last.Meta.At) > behindAge
	g.run.mu.Lock()
	g.position, g.lastAt, g.pending, g.behind = last.Position, last.Meta.At, pending, behind
	g.oldest = last.Meta.At // of those that wait the next is no older
	if len(g.buffer) > 0 {
		g.oldest = g.buffer[0].record.Meta.At
	}
	g.busy = false
	who := g.roster
	g.run.mu.Unlock()
	g.run.metrics.events.Add(float64(len(records)))
	g.run.options.Awaiter.moved(who.names, last.Position, behind)
	if g.meet(ctx) {
		return errLeft
	}
	return nil
}
