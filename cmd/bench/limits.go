package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/g4fagent/g4fagent/internal/postgres"
)

// limits are the yardsticks that need no server of ours: the disk, and a Postgres
// of the same recipe as the server's own, fully durable.
type limits struct {
	db    *postgres.DB
	conns []*pgx.Conn
	bare  *bareServer // nil until a part needs it
	dir   string
}

func openLimits(ctx context.Context, dir string) (*limits, error) {
	db, err := postgres.Open(ctx, postgres.Options{Dir: filepath.Join(dir, "postgres"), Settings: map[string]string{"max_connections": "100"}})
	if err != nil {
		return nil, fmt.Errorf("open Postgres for the yardsticks: %w", err)
	}
	l := &limits{db: db, dir: dir}
	_, err = db.Pool().Exec(ctx, `create table yardstick (
		id text primary key, session_id text not null, role text not null, content text not null, meta text not null, ts timestamptz not null)`)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the yardstick's table: %w", err), l.close(ctx))
	}
	return l, nil
}

func (l *limits) close(ctx context.Context) error {
	var errs []error
	if l.bare != nil {
		errs = append(errs, l.bare.stop())
	}
	for _, c := range l.conns {
		errs = append(errs, c.Close(ctx))
	}
	return errors.Join(append(errs, l.db.Close(ctx))...)
}

// inserters are c workers, each of which inserts one row at a time, on its own
// connection, and waits until it is durable.
func (l *limits) inserters(ctx context.Context, c int) ([]operation, error) {
	for len(l.conns) < c {
		conn, err := l.db.Connect(ctx)
		if err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
		l.conns = append(l.conns, conn)
	}
	content := `[{"type":"text","text":"` + text + `"}]`
	workers := make([]operation, c)
	for i := range workers {
		conn, n := l.conns[i], time.Now().UnixNano()
		workers[i] = func(ctx context.Context) error {
			n++
			_, err := conn.Exec(ctx, `insert into yardstick (id, session_id, role, content, meta, ts) values ($1, $2, $3, $4, $5, $6)`,
				fmt.Sprintf("msg_%016x%04x", n, i), "sess_0123456789abcdef0123456789abcdef", "user", content, "{}", time.Now())
			return err
		}
	}
	return workers, nil
}

// measureDisk writes 4 KiB and makes them durable, again and again: a durable
// command of one client cannot be faster.
func (b *bench) measureDisk(ctx context.Context) error {
	f, err := os.OpenFile(filepath.Join(b.folder, "disk"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open a file: %w", err)
	}
	defer func() { _ = f.Close() }() // nobody reads it
	block := make([]byte, 4<<10)
	var s sample
	err = s.add(ctx, []operation{func(ctx context.Context) error {
		if _, err := f.Write(block); err != nil {
			return err
		}
		return errors.Join(datasync(f), ctx.Err())
	}}, 2*b.round)
	if err != nil {
		return fmt.Errorf("measure the disk: %w", err)
	}
	b.report.add(row{part: "disk", what: "4 KiB write + fdatasync", c: 1, ours: figureOf(&s)})
	return nil
}
