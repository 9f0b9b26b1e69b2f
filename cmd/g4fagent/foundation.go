package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/postgres"
	"github.com/g4fagent/g4fagent/internal/vault"
	"github.com/g4fagent/g4fagent/internal/vault/pgkeys"
)

// foundation is what everything stands on: the log, Postgres, the keys.
type foundation struct {
	node   *esnode.Node // nil when the log is elsewhere
	log    *eventlog.Log
	db     *postgres.DB
	vault  *vault.Vault
	logger *slog.Logger
	// ends are called in reverse.
	ends []func(context.Context) error
}

// open opens what c names, in the order in which each needs the other. When it
// fails, what was opened is closed again.
func open(ctx context.Context, c *config, logger *slog.Logger, r prometheus.Registerer) (_ *foundation, err error) {
	f := &foundation{logger: logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close(context.WithoutCancel(ctx)))
		}
	}()
	// Postgres may run as another account, which must reach its own folder below.
	if err := os.MkdirAll(c.dataDir, 0o711); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	if err := f.openLog(ctx, c, r); err != nil {
		return nil, err
	}
	if f.db, err = postgres.Open(ctx, postgres.Options{
		URL: c.databaseURL, Dir: filepath.Join(c.dataDir, "postgres"), User: c.postgresUser, Download: true, Logger: logger, Registerer: r,
	}); err != nil {
		return nil, fmt.Errorf("open Postgres: %w", err)
	}
	f.ends = append(f.ends, f.db.Close)
	if err := f.openVault(ctx, c); err != nil {
		return nil, err
	}
	return f, nil
}

// openLog connects to the log: an embedded node that only this process can reach,
// or the server that c names.
func (f *foundation) openLog(ctx context.Context, c *config, r prometheus.Registerer) (err error) {
	o := eventlog.Options{URL: c.eventStoreURL, Logger: f.logger, Registerer: r}
	if c.eventStoreURL == "" {
		user, secret := "g4fagent", rand.Text()+rand.Text() // 256 bits, known to this process alone
		if f.node, err = esnode.Start(ctx, esnode.Options{
			Dir: filepath.Join(c.dataDir, "log"), Listen: socketIn(c.dataDir), Username: user, Password: secret,
			Floor: c.minFree, Logger: f.logger, Registerer: r,
		}); err != nil {
			return fmt.Errorf("start the embedded event store: %w", stopFirst(err))
		}
		f.ends = append(f.ends, f.node.Close)
		o.Address, o.Username, o.Password = f.node.Addr(), user, secret
	}
	if f.log, err = eventlog.Open(ctx, o); err != nil {
		return fmt.Errorf("open the event log: %w", err)
	}
	f.ends = append(f.ends, f.log.Close)
	return f.log.Ready(ctx)
}

// stopFirst adds to err of opening a log what to do when another process has it.
func stopFirst(err error) error {
	if errors.Is(err, storage.ErrInUse) {
		return fmt.Errorf("%w; stop that one first, or name another folder with --data-dir", err)
	}
	return err
}

// maxSocketPath is what a Unix socket's address can hold.
const maxSocketPath = 107

// socketIn is where the embedded node listens: a socket in the data folder, or a
// loopback port where its path would be too long.
func socketIn(dataDir string) string {
	path, err := filepath.Abs(filepath.Join(dataDir, "log.sock"))
	if err != nil || len(path) > maxSocketPath {
		return "127.0.0.1:0"
	}
	return "unix:" + path
}

func (f *foundation) openVault(ctx context.Context, c *config) error {
	keys := filepath.Join(c.dataDir, "keys")
	if err := os.MkdirAll(keys, 0o700); err != nil {
		return fmt.Errorf("make the folder of keys: %w", err)
	}
	o := vault.Options{MasterKey: c.masterKey, KeyFile: filepath.Join(keys, "installation.key")}
	if c.databaseURL == "" {
		store, err := vault.OpenFolder(filepath.Join(keys, "data"))
		if err != nil {
			return fmt.Errorf("open the keys: %w", err)
		}
		f.ends = append(f.ends, func(context.Context) error { return store.Close() })
		o.Store = store
	} else {
		store, err := pgkeys.Open(ctx, f.db.Pool())
		if err != nil {
			return fmt.Errorf("open the keys: %w", err)
		}
		o.Store, o.MaxAge = store, time.Minute
	}
	var err error
	if f.vault, err = vault.Unlock(ctx, o); err != nil {
		return fmt.Errorf("unlock the keys: %w", err)
	}
	return nil
}

// maxAhead is how far ahead of this machine's clock the log may be.
const maxAhead = 5 * time.Minute

// fit finds out whether this program and this log go together: nothing that runs
// on the database reads events in another way, and the log is not from the
// future, which tells of a clock that is wrong here or was wrong there. The
// agreement is to be held for as long as the program runs.
func (f *foundation) fit(ctx context.Context, now time.Time) (*postgres.Agreement, error) {
	last, err := f.log.Last(ctx)
	if err != nil {
		return nil, err
	}
	if ahead := last.Meta.At.Sub(now); ahead > maxAhead {
		return nil, fmt.Errorf("the log's last event (%s at %d) is of %s, %s ahead of this machine's clock: set the clock right and start again",
			last.Stream, last.Revision, last.Meta.At.Format(time.RFC3339), ahead.Round(time.Second))
	}
	agreement, err := f.db.Agree(ctx, "event catalogue", eventschema.All.Hash())
	if errors.Is(err, postgres.ErrDisagreement) {
		return nil, fmt.Errorf("a server of another version runs on this database; stop it before this one is started: %w", err)
	}
	return agreement, err
}

// close ends everything, last opened first.
func (f *foundation) close(ctx context.Context) error {
	var errs []error
	for _, end := range slices.Backward(f.ends) {
		errs = append(errs, end(ctx))
	}
	f.ends = nil
	return errors.Join(errs...)
}
