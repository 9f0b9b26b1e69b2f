package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/postgres"
)

// ErrBusy says that another comparison or rebuild is under way.
var ErrBusy = errors.New("another comparison or rebuild of read models is under way")

const (
	scratchSchema = "projection_scratch"
	// approaches is how often a replay follows a live read model before it makes
	// the engine wait: what is left by then takes a batch or two.
	approaches = 8
	// lockBound is how long the engine may wait for a table that somebody reads.
	lockBound  = "5s"
	closeBound = 10 * time.Second
)

// scratch is read models built a second time, in a schema of their own.
type scratch struct {
	engine  *Engine
	conn    *pgx.Conn // its own: the search path leads to the scratch tables
	members []*member
	at      map[*member]eventlog.Position
}

func (e *Engine) newScratch(ctx context.Context, projectors []*Projector) (_ *scratch, err error) {
	left, err := skips(ctx, e.options.Pool)
	if err != nil {
		return nil, err
	}
	pooled, err := e.options.Pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("get a connection: %w", err)
	}
	s := &scratch{engine: e, conn: pooled.Hijack(), at: map[*member]eventlog.Position{}}
	defer func() {
		if err != nil {
			_ = s.conn.Close(context.WithoutCancel(ctx)) // the first error tells more
		}
	}()
	for _, p := range projectors {
		s.members = append(s.members, &member{projector: p, skips: left[p.Name]})
	}
	return s, s.make(ctx)
}

func (s *scratch) make(ctx context.Context) error {
	var free bool
	if err := s.conn.QueryRow(ctx, `select pg_try_advisory_lock($1)`, postgres.LockKey("projections", "scratch")).Scan(&free); err != nil {
		return fmt.Errorf("lock the scratch schema: %w", err)
	}
	if !free {
		return ErrBusy
	}
	_, err := s.conn.Exec(ctx, `drop schema if exists `+scratchSchema+` cascade; create schema `+scratchSchema+`;
		set search_path to `+scratchSchema+`; set synchronous_commit to off`)
	if err != nil {
		return fmt.Errorf("make the scratch schema: %w", err)
	}
	for _, m := range s.members {
		if _, err := s.conn.Exec(ctx, m.projector.Schema); err != nil {
			return fmt.Errorf("make the scratch tables of %s: %w", m.projector.Name, err)
		}
	}
	return nil
}

// close drops the scratch tables, whatever became of ctx.
func (s *scratch) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeBound)
	defer cancel()
	_, err := s.conn.Exec(ctx, `drop schema `+scratchSchema+` cascade`)
	if err == nil { // the server may take its time to see the connection end
		_, err = s.conn.Exec(ctx, `select pg_advisory_unlock_all()`)
	}
	if closing := s.conn.Close(ctx); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("drop the scratch schema: %w", err)
	}
	return nil
}

// names are the projectors' names.
func (s *scratch) names() []string { return newRoster(s.members...).names }

// aim is where to replay a read model to, given its checkpoint.
type aim func(context.Context, checkpoint) (eventlog.Position, error)

// meet replays until the scratch tables are exactly where the live ones are. It
// returns a transaction that keeps the engine from moving them: it waits at its
// next batch, until the transaction ends.
func (s *scratch) meet(ctx context.Context, aim aim) (pgx.Tx, error) {
	for range approaches {
		to, err := s.targets(ctx, s.engine.options.Pool, aim)
		if err != nil {
			return nil, err
		}
		if _, some := s.start(to); !some {
			break
		}
		if err := s.replay(ctx, to); err != nil {
			return nil, err
		}
	}
	tx, err := s.engine.options.Pool.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	if err := s.arrive(ctx, tx, aim); err != nil {
		_ = tx.Rollback(context.WithoutCancel(ctx)) // the first error tells more
		return nil, err
	}
	return tx, nil
}

func (s *scratch) arrive(ctx context.Context, tx pgx.Tx, aim aim) error {
	// The table, not its rows: a batch locks them in an order of its own.
	_, err := tx.Exec(ctx, `set local lock_timeout = '`+lockBound+`'; lock table projection_checkpoint in exclusive mode`)
	if err != nil {
		return fmt.Errorf("lock checkpoints: %w", err)
	}
	to, err := s.targets(ctx, tx, aim)
	if err != nil {
		return err
	}
	if err := s.replay(ctx, to); err != nil {
		return err
	}
	for _, m := range s.members { // a live read model that was moved back
		if s.at[m] != to[m.projector.Name] {
			return fmt.Errorf("%s moved from %s to %s meanwhile", m.projector.Name, s.at[m], to[m.projector.Name])
		}
	}
	return nil
}

func (s *scratch) targets(ctx context.Context, db Querier, aim aim) (map[string]eventlog.Position, error) {
	there, err := checkpoints(ctx, db, s.names())
	if err != nil {
		return nil, err
	}
	to := map[string]eventlog.Position{}
	for _, m := range s.members {
		c, found := there[m.projector.Name]
		if !found {
			return nil, fmt.Errorf("%s has no checkpoint: it will be built when the engine starts", m.projector.Name)
		}
		if to[c.name], err = aim(ctx, c); err != nil {
			return nil, err
		}
	}
	return to, nil
}
