package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrDisagreement says that another process on this database holds another value.
var ErrDisagreement = errors.New("another process on this database disagrees")

// Agreement is this process's part in what all processes on a database must
// agree on, such as what they can read.
type Agreement struct {
	db           *DB
	topic, value string
	conn         *pgx.Conn
}

// Agree says that this process has value for topic, until Hold has ended or the
// process has. It fails with ErrDisagreement as long as any other has another
// value.
func (db *DB) Agree(ctx context.Context, topic, value string) (*Agreement, error) {
	a := &Agreement{db: db, topic: topic, value: value}
	if err := a.enter(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// Hold keeps the agreement until ctx ends, through outages of the server, and
// then returns ctx's error. It fails with ErrDisagreement when, during an outage,
// another process came with another value. It must be called at most once.
func (a *Agreement) Hold(ctx context.Context) error {
	for {
		lost := a.db.watch(ctx, a.conn)
		closeConn(ctx, a.conn)
		if lost == nil {
			return ctx.Err()
		}
		a.db.log.LogAttrs(ctx, slog.LevelWarn, "agreement lost and is renewed", slog.String("topic", a.topic), slog.Any("cause", lost))
		if err := a.renew(ctx); err != nil {
			return err
		}
	}
}

func (a *Agreement) renew(ctx context.Context) error {
	wait := backoff{min: 100 * time.Millisecond, max: 5 * time.Second}
	for {
		err := a.enter(ctx)
		if err == nil || errors.Is(err, ErrDisagreement) {
			return err
		}
		if !wait.pause(ctx) {
			return ctx.Err()
		}
	}
}

// enter takes a shared lock whose first half stands for the topic and whose
// second for the value, and looks for locks of other values. One process enters
// at a time, so that of two that disagree one sees the other.
func (a *Agreement) enter(ctx context.Context) (err error) {
	conn, err := a.db.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			closeConn(ctx, conn)
		}
	}()
	topic, value := int32(LockKey("agreement", a.topic)), int32(LockKey("agreement", a.topic, a.value))
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, LockKey("enter agreement", a.topic)); err != nil {
			return fmt.Errorf("wait for others to agree on %s: %w", a.topic, err)
		}
		others := 0
		if err := tx.QueryRow(ctx, `
			select count(*) from pg_locks
			where locktype = 'advisory' and objsubid = 2 and granted
				and database = (select oid from pg_database where datname = current_database())
				and classid::bigint = $1::bigint & 4294967295 and objid::bigint <> $2::bigint & 4294967295`, topic, value).Scan(&others); err != nil {
			return fmt.Errorf("ask what others hold of %s: %w", a.topic, err)
		}
		if others > 0 {
			return fmt.Errorf("%s: %w", a.topic, ErrDisagreement)
		}
		_, err := tx.Exec(ctx, `select pg_advisory_lock_shared($1, $2)`, topic, value)
		return err
	})
	if err != nil {
		return err
	}
	a.conn = conn
	return nil
}
