package projections

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// stuck is the event that a group does not get past.
type stuck struct {
	record   eventlog.Record
	cause    error
	since    time.Time
	attempts int
}

// persistence is how often a batch is tried while Postgres answers before its
// errors are taken for a projector's own.
const persistence = 5

// noteBound is how long a checkpoint may take to say that its projector is stuck.
const noteBound = 5 * time.Second

// attempt applies records to the roster, which is at from, and outlasts outages.
// Its error is errMoved, ctx's, or a failure.
func (g *group) attempt(ctx context.Context, who *roster, from eventlog.Position, records []eventlog.Record) error {
	o := &g.run.options
	statements, err := g.run.codec.queue(who, records)
	if err != nil {
		return err
	}
	to := records[len(records)-1].Position
	pause := o.OutageMin
	for tries := 1; ; tries++ {
		began := o.Now()
		err := g.lease.commit(ctx, who, from, to, statements)
		if err == nil {
			g.run.metrics.committed(len(records), len(statements), o.Now().Sub(began))
			return nil
		}
		away, ok := errors.AsType[*outage](err)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !ok:
			return named(err, who, records)
		case tries >= persistence && o.Pool.Ping(ctx) == nil:
			return named(&failure{err: away.err}, who, records)
		}
		g.run.metrics.outages.Inc()
		o.Logger.WarnContext(ctx, "a batch waits for Postgres", slog.Any("projectors", who.names),
			slog.String("position", from.String()), slog.Any("error", err), slog.Duration("retry_in", pause))
		rest(ctx, pause)
		pause = min(pause*2, o.OutageMax)
	}
}

// named adds what only one answer is possible to.
func named(err error, who *roster, records []eventlog.Record) error {
	if f, ok := errors.AsType[*failure](err); ok {
		if f.owner == nil && len(who.members) == 1 {
			f.owner = who.members[0].projector
		}
		if f.record == nil && len(records) == 1 {
			f.record = &records[0]
		}
	}
	return err
}

// isolate finds the projectors that do not get past records. They leave for
// groups of their own, at the event that each fails at; the others are behind
// the last record afterwards. The error is errLeft when no others are left.
func (g *group) isolate(ctx context.Context, who *roster, records []eventlog.Record, failed *failure) error {
	g.run.mu.Lock()
	g.run.releaseHolds(g)
	g.run.mu.Unlock()
	g.run.options.Logger.WarnContext(ctx, "a batch failed, its projectors go on one by one",
		slog.Any("projectors", who.names), slog.Any("error", failed))
	var healthy []*member
	var culprits []*group
	for _, m := range who.members {
		alone, err := g.alone(ctx, m, records)
		switch {
		case err != nil:
			return err
		case alone != nil:
			culprits = append(culprits, alone)
		default:
			healthy = append(healthy, m)
		}
	}
	g.split(healthy, culprits)
	for _, c := range culprits {
		g.run.launch(c)
	}
	if len(healthy) == 0 {
		return errLeft
	}
	return nil
}

// split leaves the healthy in the group, if there are any, and adds the groups
// of the others: at any time every projector is in one group.
func (g *group) split(healthy []*member, culprits []*group) {
	g.run.mu.Lock()
	defer g.run.mu.Unlock()
	for _, c := range culprits {
		g.run.groups[c] = struct{}{}
	}
	g.roster = newRoster(healthy...)
	if len(healthy) == 0 {
		delete(g.run.groups, g)
		g.free()
	}
}

// alone moves one member over records, all at once or event by event. It returns
// the group in which the member stays behind, if it does.
func (g *group) alone(ctx context.Context, m *member, records []eventlog.Record) (*group, error) {
	who, at := newRoster(m), g.position
	err := g.attempt(ctx, who, at, records)
	if _, failed := errors.AsType[*failure](err); !failed {
		return nil, err
	}
	for i := range records {
		err := g.attempt(ctx, who, at, records[i:i+1])
		if cause, failed := errors.AsType[*failure](err); failed {
			return &group{run: g.run, roster: who, position: at, stuck: g.run.stuckAt(records[i], cause)}, nil
		}
		if err != nil {
			return nil, err
		}
		at = records[i].Position
	}
	return nil, nil //nolint:nilnil // no group: the member kept up
}

func (r *run) stuckAt(record eventlog.Record, cause error) *stuck {
	return &stuck{record: record, cause: cause, since: r.options.Now(), attempts: 1}
}

// halt stops the whole group at a record that this build does not know: nobody
// can tell whose it is. It reports whether it had to.
func (g *group) halt(r *eventlog.Record) bool {
	g.run.mu.Lock()
	defer g.run.mu.Unlock()
	if !g.run.codec.unknown(r) || g.roster.everySkips(r.Position) {
		return false
	}
	g.stuck = g.run.stuckAt(*r, unknownEvent(r))
	g.run.releaseHolds(g)
	g.free()
	return true
}

// endure tries the event that the group is stuck at, again and again, and loudly.
// It returns nil once the group is past it.
func (g *group) endure(ctx context.Context) error {
	g.lease.release()
	for pause := g.run.options.RetryMin; ; pause = min(pause*2, g.run.options.RetryMax) {
		g.report(ctx, pause)
		rest(ctx, pause)
		if ctx.Err() != nil || !g.run.loadSkips(ctx, g.roster.members) {
			return ctx.Err()
		}
		err := g.attempt(ctx, g.roster, g.position, []eventlog.Record{g.stuck.record})
		g.lease.release()
		if err == nil {
			g.recover(ctx)
			return nil
		}
		cause, failed := errors.AsType[*failure](err)
		if !failed {
			return err
		}
		g.run.mu.Lock()
		g.stuck.cause = cause
		g.stuck.attempts++
		g.run.mu.Unlock()
	}
}

// report says that the group is stuck: to whoever waits, in the checkpoints for
// other nodes, and in the log.
func (g *group) report(ctx context.Context, pause time.Duration) {
	s, o := g.stuck, &g.run.options
	g.run.metrics.failures.Inc()
	o.Awaiter.stuck(g.roster.names)
	g.note(ctx)
	o.Logger.ErrorContext(ctx, "projection stuck", slog.Any("projectors", g.roster.names),
		slog.String("position", s.record.Position.String()), slog.String("event", s.record.Stored.Name),
		slog.String("stream", s.record.Stream), slog.Int64("revision", s.record.Revision),
		slog.Int("attempts", s.attempts), slog.Any("cause", s.cause), slog.Duration("retry_in", pause))
}

func (g *group) note(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, noteBound)
	defer cancel()
	_, err := g.run.options.Pool.Exec(bounded, `
		update projection_checkpoint set failure = $2
		 where name = any ($1) and commit_position = $3 and prepare_position = $4 and failure is distinct from $2`,
		g.roster.names, g.stuck.cause.Error(), int64(g.position.Commit), int64(g.position.Prepare))
	if err != nil && ctx.Err() == nil {
		g.run.options.Logger.WarnContext(ctx, "note that a projection is stuck", slog.Any("error", err))
	}
}

func (g *group) recover(ctx context.Context) {
	g.run.mu.Lock()
	past := g.stuck
	g.stuck, g.position, g.lastAt = nil, past.record.Position, past.record.Meta.At
	g.run.mu.Unlock()
	g.run.options.Awaiter.moved(g.roster.names, g.position, false)
	g.run.options.Logger.InfoContext(ctx, "projection goes on", slog.Any("projectors", g.roster.names),
		slog.String("position", g.position.String()), slog.Int("attempts", past.attempts))
}
