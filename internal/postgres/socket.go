package postgres

import (
	"context"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	socketPort = "5432"
	socketName = ".s.PGSQL." + socketPort
)

// socket is the way to the managed server.
type socket struct {
	dir  *socketDir
	base *pgxpool.Config
}

func openSocket(data string) (*socket, error) {
	// Every key that libpq's environment variables could set is set.
	base, err := pgxpool.ParseConfig("host=/ port=" + socketPort + " user=" + roleName + " dbname=postgres password='' " +
		"sslmode=disable target_session_attrs=any options='' connect_timeout=10 application_name=" + applicationName + " timezone=UTC")
	if err != nil {
		return nil, fmt.Errorf("configure connections to the managed server: %w", err)
	}
	dir, err := openSocketDir(data)
	if err != nil {
		return nil, err
	}
	configure(base)
	base.MaxConns = defaultMaxConns
	// The server logs what it refuses, but not the rows: they hold what must be erasable.
	base.ConnConfig.RuntimeParams["log_error_verbosity"] = "terse"
	base.ConnConfig.RuntimeParams["log_min_error_statement"] = "panic"
	base.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return dir.dial(ctx, socketName) }
	base.ConnConfig.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	return &socket{dir: dir, base: base}, nil
}

// config is that of connections to the database name.
func (s *socket) config(name string) *pgxpool.Config {
	config := s.base.Copy()
	config.ConnConfig.Database = name
	return config
}

func (s *socket) close() error { return s.dir.close() }
