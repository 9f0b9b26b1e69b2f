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

func externalConfig(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	saysMax := strings.Contains(url, "pool_max_conns")
	configure(config, saysMax)
	return config, nil
}

// configure sets what every connection has, unless the URL says otherwise.
// Statements are prepared once a connection and cached: pgx's default.
func configure(config *pgxpool.Config, saysMax bool) {
	params := config.ConnConfig.RuntimeParams
	for name, value := range map[string]string{"application_name": applicationName, "timezone": "UTC"} {
		if params[name] == "" {
			params[name] = value
		}
	}
	if config.ConnConfig.ConnectTimeout == 0 || config.ConnConfig.ConnectTimeout > connectTimeout {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	if !saysMax {
		config.MaxConns = defaultMaxConns
	}
	config.PingTimeout = pingTimeout
}

// ensureDatabase makes the database name, through a connection to another one.
func ensureDatabase(ctx context.Context, config *pgx.ConnConfig, name string) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect to make the database: %w", err)
	}
	defer closeConn(conn)
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

// closeConn says goodbye to the server, however the work on conn ended.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), pingTimeout)
	defer cancel()
	_ = conn.Close(ctx) // a connection that broke is closed as well
}
