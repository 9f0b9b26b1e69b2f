package postgres_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/postgres"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
)

// network is a TCP way to the test server that can go silent.
type network struct {
	url    string
	frozen chan struct{}
	once   sync.Once
}

func newNetwork(t *testing.T, target string) *network {
	t.Helper()
	parsed, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(parsed.Query().Get("host"), ".s.PGSQL.5432")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{frozen: make(chan struct{}), url: "postgres://g4fagent@" + listener.Addr().String() + parsed.Path + "?sslmode=disable"}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { n.pass(t.Context(), conn, socket) })
		}
	})
	t.Cleanup(func() {
		n.freeze()
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		conns.Wait()
	})
	return n
}

// pass carries one connection. Once the network is frozen nothing comes through,
// but the client's side stays open until the test ends.
func (n *network) pass(ctx context.Context, client net.Conn, socket string) {
	defer func() { _ = client.Close() }()
	server, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var both sync.WaitGroup
	carry := func(to io.Writer, from io.Reader) {
		buffer := make([]byte, 32<<10)
		for {
			count, err := from.Read(buffer)
			if err != nil {
				return
			}
			select {
			case <-n.frozen:
				<-ctx.Done()
				return
			default:
			}
			if _, err := to.Write(buffer[:count]); err != nil {
				return
			}
		}
	}
	ended := context.AfterFunc(ctx, func() { _, _ = client.Close(), server.Close() })
	defer ended()
	both.Go(func() { carry(server, client); _ = server.Close() })
	both.Go(func() { carry(client, server); _ = client.Close() })
	both.Wait()
}

func (n *network) freeze() { n.once.Do(func() { close(n.frozen) }) }

func (n *network) open(t *testing.T) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Options{URL: n.url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patient)
		defer cancel()
		if err := db.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestExternalServer(t *testing.T) {
	t.Parallel()

	t.Run("is used as the URL says, with the settings of every connection", func(t *testing.T) {
		t.Parallel()
		db, err := postgres.Open(t.Context(), postgres.Options{URL: postgrestest.URL(t) + "&pool_max_conns=3&application_name=other"})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Health(t.Context()); err != nil || postgres.Managed(db) {
			t.Errorf("health %v, managed %v", err, postgres.Managed(db))
		}
		if n := db.Pool().Config().MaxConns; n != 3 {
			t.Errorf("a pool of %d", n)
		}
		var name, zone string
		if err := db.Pool().QueryRow(t.Context(), "select current_setting('application_name'), current_setting('timezone')").Scan(&name, &zone); err != nil || name != "other" || zone != "UTC" {
			t.Errorf("%s, %s, %v", name, zone, err)
		}
		if err := db.Close(t.Context()); err != nil {
			t.Error(err)
		}
		receive(t, "Done", db.Done())
		if err := db.Err(); err != nil {
			t.Error(err)
		}
	})

	t.Run("is refused at once when it refuses us", func(t *testing.T) {
		t.Parallel()
		db, err := postgres.Open(t.Context(), postgres.Options{URL: strings.Replace(postgrestest.URL(t), "g4fagent@", "stranger:secret@", 1)})
		if err == nil {
			t.Fatal(db.Close(t.Context()))
		}
		if t.Context().Err() != nil || strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	})

	t.Run("is waited for, within the caller's bound", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		db, err := postgres.Open(ctx, postgres.Options{URL: "postgres://u:secret@127.0.0.1:1/d"})
		if err == nil {
			t.Fatal(db.Close(t.Context()))
		}
		if !strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	})

	t.Run("has an URL that can be read", func(t *testing.T) {
		t.Parallel()
		if db, err := postgres.Open(t.Context(), postgres.Options{URL: "postgres://u:secret@host:port/d"}); err == nil {
			t.Fatal(db.Close(t.Context()))
		} else if strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	})

	t.Run("has other databases", func(t *testing.T) {
		t.Parallel()
		db, err := postgrestest.Open(t).Database(t.Context(), "postgres")
		if err != nil {
			t.Fatal(err)
		}
		var name string
		if err := db.Pool().QueryRow(t.Context(), "select current_database()").Scan(&name); err != nil || name != "postgres" {
			t.Errorf("%s, %v", name, err)
		}
		if err := db.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
