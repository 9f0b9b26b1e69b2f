package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/g4fagent/g4fagent/internal/postgres"
)

// measureRebuild builds all read models again from the log and compares that with
// copying the same rows into the same tables.
func measureRebuild(ctx context.Context, b *bench) error {
	b.report.peak(b.server.peak())
	if err := b.server.stop(); err != nil {
		return err
	}
	idle, err := b.maintain(ctx, "rebuild", "--projection", noProjection)
	if err == nil {
		return errors.New("the server rebuilt a read model that does not exist")
	}
	var took, copying time.Duration
	var rows int64
	for range b.rounds {
		whole, err := b.maintain(ctx, "rebuild")
		if err != nil {
			return err
		}
		n, d, err := b.copyAll(ctx)
		if err != nil {
			return err
		}
		rows, took, copying = rows+n, took+max(whole-idle, time.Millisecond), copying+d
	}
	b.report.add(ratio(row{
		part: "rebuild", what: "rows of all read models, rebuilt in " + short(took/time.Duration(b.rounds)),
		ours:      figure{rate: float64(rows) / took.Seconds()},
		yardstick: "COPY of the same rows", theirs: figure{rate: float64(rows) / copying.Seconds()},
	}, 0.5))
	return nil
}

// noProjection is no read model: asked to rebuild it, the program opens and
// closes everything as for others, and does nothing between.
const noProjection = "none_v0"

// maintain runs a command of the stopped server and returns how long it took.
func (b *bench) maintain(ctx context.Context, args ...string) (time.Duration, error) {
	args = append(args, "--data-dir", b.data(), "--log-level", "error")
	began := time.Now()
	out, err := exec.CommandContext(ctx, b.binary, args...).CombinedOutput() //nolint:gosec // the operator's binary
	took := time.Since(began)
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return took, err
}

// copyAll copies every read model's table into a new one like it, by COPY, and
// returns the number of rows and the time that writing them took.
func (b *bench) copyAll(ctx context.Context) (rows int64, took time.Duration, err error) {
	db, err := postgres.Open(ctx, postgres.Options{Dir: filepath.Join(b.data(), "postgres")})
	if err != nil {
		return 0, 0, fmt.Errorf("open the read models: %w", err)
	}
	defer func() {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeBound)
		defer cancel()
		err = errors.Join(err, db.Close(bound))
	}()
	found, err := db.Pool().Query(ctx, `select tablename from pg_tables where schemaname = current_schema() and tablename ~ '_v[0-9]+'`)
	if err != nil {
		return 0, 0, fmt.Errorf("list the read models: %w", err)
	}
	tables, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		return 0, 0, fmt.Errorf("list the read models: %w", err)
	}
	for _, table := range tables {
		n, d, err := copyTable(ctx, db.Pool(), table)
		if err != nil {
			return 0, 0, fmt.Errorf("copy %s: %w", table, err)
		}
		rows, took = rows+n, took+d
	}
	return rows, took, nil
}

func copyTable(ctx context.Context, pool *pgxpool.Pool, table string) (int64, time.Duration, error) {
	c, err := pool.Acquire(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer c.Release()
	from, to := pgx.Identifier{table}.Sanitize(), pgx.Identifier{"copy_of_" + table}.Sanitize()
	if _, err := c.Exec(ctx, "create table "+to+" (like "+from+" including all)"); err != nil {
		return 0, 0, err
	}
	var rows bytes.Buffer
	if _, err := c.Conn().PgConn().CopyTo(ctx, &rows, "copy "+from+" to stdout (format binary)"); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	tag, err := c.Conn().PgConn().CopyFrom(ctx, &rows, "copy "+to+" from stdin (format binary)")
	took := time.Since(began)
	if err != nil {
		return 0, 0, err
	}
	_, err = c.Exec(ctx, "drop table "+to)
	return tag.RowsAffected(), took, err
}
