package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrLeadershipLost is the cause of the end of a leader's context when its
// connection, and with it the lock, was lost.
var ErrLeadershipLost = errors.New("leadership lost: the connection that held the lock broke")

const (
	// campaignEvery is how soon a candidate follows a leader that has left. The
	// lock is tried, not waited for: a waiting statement would hold a snapshot,
	// and with it back the cleaning of every table, for as long as the leader lives.
	campaignEvery = 500 * time.Millisecond
	// defaultQuiet is how long a connection may say nothing before it is asked.
	defaultQuiet = 5 * time.Second
)

// LockKey makes an advisory lock's key of names. Keys are per database; the
// chance that two of a million different lists share one is 1 in 37 million.
func LockKey(names ...string) int64 {
	hash := sha256.New()
	for _, name := range names {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(name)))
		hash.Write(length[:])
		hash.Write([]byte(name))
	}
	return int64(binary.BigEndian.Uint64(hash.Sum(nil)))
}

// Lead waits until this process holds the advisory lock key, and then calls run
// with a context that ends when ctx does or the lock is lost. When run fails or
// the lock is lost, it campaigns again, after a pause, until ctx ends; when run
// returns nil, Lead gives the lock back and returns nil. After ctx has ended it
// returns ctx's error, once run has returned.
//
// The server gives the lock to another as soon as it sees this session end,
// which may be before run has noticed: what run writes must be guarded by what
// it expects to find, as checkpoints are.
func (db *DB) Lead(ctx context.Context, key int64, run func(context.Context) error) error {
	wait := backoff{min: 100 * time.Millisecond, max: 5 * time.Second}
	for {
		began := time.Now()
		err := db.leadOnce(ctx, key, run)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			return nil
		}
		if time.Since(began) > time.Minute {
			wait.reset()
		}
		db.log.LogAttrs(ctx, slog.LevelWarn, "leading ended and is campaigned for again", slog.Int64("key", key), slog.Any("cause", err))
		if !wait.pause(ctx) {
			return ctx.Err()
		}
	}
}

func (db *DB) leadOnce(ctx context.Context, key int64, run func(context.Context) error) error {
	conn, err := db.Connect(ctx)
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn) // gives the lock back
	if err := campaign(ctx, conn, key); err != nil {
		return err
	}
	db.log.LogAttrs(ctx, slog.LevelInfo, "leading", slog.Int64("key", key))
	leading, end := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if err := db.watch(leading, conn); err != nil {
			end(fmt.Errorf("%w: %w", ErrLeadershipLost, err))
		}
	}()
	err = run(leading)
	lost := context.Cause(leading)
	end(nil)
	<-watched
	if errors.Is(lost, ErrLeadershipLost) {
		return lost
	}
	return err
}

// campaign tries for the lock until it has it.
func campaign(ctx context.Context, conn *pgx.Conn, key int64) error {
	ticker := time.NewTicker(campaignEvery)
	defer ticker.Stop()
	for {
		won := false
		if err := conn.QueryRow(ctx, "select pg_try_advisory_lock($1)", key).Scan(&won); err != nil {
			return fmt.Errorf("try the lock: %w", err)
		}
		if won {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Held reports which of keys are held, by this process or another.
func (db *DB) Held(ctx context.Context, keys ...int64) (map[int64]bool, error) {
	rows, err := db.pool.Query(ctx, `
		select (classid::bigint << 32) | objid::bigint
		from pg_locks
		where locktype = 'advisory' and objsubid = 1 and granted
			and database = (select oid from pg_database where datname = current_database())`)
	if err != nil {
		return nil, fmt.Errorf("list the locks: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("list the locks: %w", err)
	}
	held := make(map[int64]bool, len(keys))
	for _, key := range keys {
		held[key] = slices.Contains(all, key)
	}
	return held, nil
}

// watch returns nil when ctx ends, and an error as soon as conn is lost.
func (db *DB) watch(ctx context.Context, conn *pgx.Conn) error {
	for {
		if _, err := db.nextNotification(ctx, conn); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // ctx ended, whatever that did to the connection
			}
			return err
		}
	}
}

// nextNotification waits for a notification. While none comes it asks the server
// from time to time whether it is there: a connection that broke without a word
// is noticed as well.
func (db *DB) nextNotification(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	for {
		quiet, cancel := context.WithTimeout(ctx, db.quiet)
		notification, err := conn.WaitForNotification(quiet)
		cancel()
		if err == nil || ctx.Err() != nil || quiet.Err() == nil {
			return notification, err
		}
		asking, cancel := context.WithTimeout(ctx, db.answer)
		err = conn.Ping(asking)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("ask a quiet connection: %w", err)
		}
	}
}
