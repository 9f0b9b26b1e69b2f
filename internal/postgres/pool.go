package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	applicationName = "g4fagent"
	// databaseName and roleName are those of the managed server.
	databaseName = "g4fagent"
	roleName     = "g4fagent"

	defaultMaxConns = 16
	connectTimeout  = 10 * time.Second
	pingTimeout     = 5 * time.Second
)

// CheckURL says what is wrong with an Options.URL, without asking the server. The
// error does not repeat the password.
func CheckURL(url string) error {
	scheme, _, is := strings.Cut(url, "://")
	if is && scheme != "postgres" && scheme != "postgresql" && !strings.Contains(scheme, "=") {
		return fmt.Errorf("%s://… is no Postgres: want postgres://user@host:port/database", scheme)
	}
	_, err := externalConfig(url)
	return err
}

func externalConfig(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	configure(config)
	if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = defaultMaxConns
	}
	return config, nil
}

// configure sets what every connection has, unless the URL says otherwise.
// Statements are prepared once a connection and cached: pgx's default.
func configure(config *pgxpool.Config) {
	params := config.ConnConfig.RuntimeParams
	for name, value := range map[string]string{"application_name": applicationName, "timezone": "UTC"} {
		if params[name] == "" {
			params[name] = value
		}
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	config.PingTimeout = pingTimeout
}

// replaceOnRestart has the pool drop the connections to a managed server's
// earlier life when they are next wanted, instead of handing them out to fail.
func replaceOnRestart(config *pgxpool.Config, server *supervisor) {
	const life = "managed_life"
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		conn.PgConn().CustomData()[life] = server.restarts.Load()
		return nil
	}
	config.PrepareConn = func(_ context.Context, conn *pgx.Conn) (bool, error) {
		return conn.PgConn().CustomData()[life] == server.restarts.Load(), nil
	}
}

// ensureDatabase makes the database name, through a connection to another one.
func ensureDatabase(ctx context.Context, config *pgx.ConnConfig, name string) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect to make the database: %w", err)
	}
	defer closeConn(ctx, conn)
	var exists bool
	err = conn.QueryRow(ctx, "select exists (select from pg_database where datname = $1)", name).Scan(&exists)
	if err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize()); err != nil {
		return fmt.Errorf("make the database: %w", err)
	}
	return nil
}

// closeConn says goodbye to the server, however the work on conn ended, be it
// with ctx.
func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTimeout)
	defer cancel()
	_ = conn.Close(ctx) // a connection that broke is closed as well
}
