// Package postgres is the way to Postgres: a pool, connections of one's own,
// leadership by advisory locks, notifications, and a local server that the
// process runs itself when it was given none.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// externalWait bounds how long Open waits for a server that it does not manage.
const externalWait = 30 * time.Second

// Options says which server to use and how. The zero value of every field but
// Dir is usable; Dir is needed when URL is empty.
type Options struct {
	// URL is a server run by somebody else: postgres://… or keywords and values,
	// as libpq reads them. Session locks and notifications need sessions, so a
	// pooler between must not share connections between transactions.
	URL string
	// Dir is the managed server's folder. It is made when missing, and belongs
	// to one process at a time.
	Dir string
	// User is the account that the managed server runs as when this process is
	// root, by default postgres. Other users run it as themselves.
	User string
	// BinDir is the folder of the programs postgres and initdb; when empty they
	// are looked for where packages put them.
	BinDir string
	// Download allows fetching the programs when the machine has none.
	Download bool
	// Settings are added to the managed server's run-time settings, and replace
	// those of the same name.
	Settings map[string]string
	// MaxConns bounds the pool. Zero is what the URL's pool_max_conns says, else 16.
	MaxConns int32
	// Logger, by default, discards.
	Logger *slog.Logger
	// Registerer, when not nil, gets the pool's and the server's metrics.
	Registerer prometheus.Registerer

	patience *patience
}

// DB is one database of a Postgres server. It may be used from several
// goroutines.
type DB struct {
	pool       *pgxpool.Pool
	config     *pgxpool.Config
	server     *supervisor
	release    func(context.Context) error
	registerer prometheus.Registerer
	metrics    prometheus.Collector
	log        *slog.Logger
	quiet      time.Duration // how long a connection of its own is not asked
	answer     time.Duration // and how long it then has to answer

	closing sync.Once
	closed  chan struct{}
	err     error
}

// Open connects to the server at Options.URL or, when that is empty, starts the
// managed one in Options.Dir: it makes the cluster when there is none, ends what
// an earlier process left behind, and waits until the server answers, which
// after a crash takes as long as recovery does. Only ctx bounds that wait; after
// Open has returned, ctx no longer matters.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.URL != "" {
		return openExternal(ctx, o)
	}
	return openManaged(ctx, o)
}

func openExternal(ctx context.Context, o Options) (*DB, error) {
	config, err := externalConfig(o.URL)
	if err != nil {
		return nil, err
	}
	if o.MaxConns != 0 {
		config.MaxConns = o.MaxConns
	}
	waitCtx, cancel := context.WithTimeout(ctx, externalWait)
	defer cancel()
	if err := awaitAnswer(waitCtx, config.ConnConfig, o.Logger); err != nil {
		return nil, fmt.Errorf("open the Postgres server at %s: %w", config.ConnConfig.Host, err)
	}
	return newDB(ctx, o, config, nil, nil)
}

func openManaged(ctx context.Context, o Options) (*DB, error) {
	server, err := startManaged(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("start the managed Postgres: %w", err)
	}
	config := server.cluster.socket.config(databaseName)
	if o.MaxConns != 0 {
		config.MaxConns = o.MaxConns
	}
	if err = ensureDatabase(ctx, server.cluster.socket.config("postgres").ConnConfig, databaseName); err == nil {
		var db *DB
		if db, err = newDB(ctx, o, config, server, server.close); err == nil {
			return db, nil
		}
	}
	return nil, errors.Join(err, server.close(context.WithoutCancel(ctx)))
}

func newDB(ctx context.Context, o Options, config *pgxpool.Config, server *supervisor, release func(context.Context) error) (*DB, error) {
	poolConfig := config.Copy()
	if server != nil {
		replaceOnRestart(poolConfig, server)
	}
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return nil, fmt.Errorf("open the pool: %w", err)
	}
	db := &DB{
		pool: pool, config: config, server: server, release: release,
		registerer: o.Registerer, log: o.Logger, quiet: defaultQuiet, answer: pingTimeout, closed: make(chan struct{}),
	}
	if db.registerer != nil {
		db.metrics = newCollector(pool, server)
		if err := db.registerer.Register(db.metrics); err != nil {
			pool.Close()
			return nil, fmt.Errorf("register the pool's metrics: %w", err)
		}
	}
	return db, nil
}

// Database is another database of the same server, which must exist. It has a
// pool and a Close of its own, no metrics, and ends with the DB it comes from.
func (db *DB) Database(ctx context.Context, name string) (*DB, error) {
	config := db.config.Copy()
	config.ConnConfig.Database = name
	return newDB(ctx, Options{Logger: db.log}, config, db.server, nil)
}

// Pool is the pool of connections. Don't close it: Close does.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }

// Connect opens a connection outside the pool, for what needs a session of its
// own: LISTEN, session locks. The caller closes it.
func (db *DB) Connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, db.config.ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	return conn, nil
}

// Health asks the server for an answer, through the pool, within ctx. While a
// managed server is being restarted the error says why it ended.
func (db *DB) Health(ctx context.Context) error {
	if db.server != nil {
		if err := db.server.state(); err != nil {
			return err
		}
	}
	if err := db.pool.Ping(ctx); err != nil {
		return fmt.Errorf("ask Postgres: %w", err)
	}
	return nil
}

// Done is closed once the database can no longer be used: after Close, or when
// a managed server could not be brought back. A managed server that merely died
// is restarted, and Done stays open.
func (db *DB) Done() <-chan struct{} {
	if db.server != nil {
		return db.server.done
	}
	return db.closed
}

// Err says, once Done is closed, why; it is nil after Close.
func (db *DB) Err() error {
	if db.server != nil {
		return db.server.failure()
	}
	return nil
}

// Close closes the pool and ends a managed server with all its processes, by
// SIGINT, then SIGQUIT, then SIGKILL, ten seconds each; when ctx ends it goes
// on to SIGKILL at once. Connections still in use break. Closing again returns
// the first result.
func (db *DB) Close(ctx context.Context) error {
	db.closing.Do(func() {
		if db.metrics != nil {
			db.registerer.Unregister(db.metrics)
		}
		idle := make(chan struct{})
		go func() { // waits for connections in use, which the end of the server breaks
			db.pool.Close()
			close(idle)
		}()
		if db.release != nil {
			db.err = db.release(ctx)
		}
		select {
		case <-idle:
		case <-ctx.Done():
			db.err = errors.Join(db.err, fmt.Errorf("close the pool, connections are in use: %w", ctx.Err()))
		}
		close(db.closed)
	})
	return db.err
}
