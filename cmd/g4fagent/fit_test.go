package main_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/postgres"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
)

// refuses starts a server that is to end by itself, and tell why.
func (s *server) refuses(why string) {
	s.t.Helper()
	s.begin()
	s.died()
	if code := s.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(s.out.String(), why) {
		s.t.Errorf("exit code %d, want 1 and %q:\n%s", code, why, tail(s.out.String(), 20))
	}
}

// A clock that is behind the log's would make history of what is to come.
func TestALogFromTheFutureIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	s.stop()
	s.appendAt(time.Now().Add(4*time.Minute), 0)
	s.start()
	s.stop()
	s.appendAt(time.Now().Add(7*time.Minute), 1)
	s.refuses("set the clock right")
}

// appendAt appends an event of some time to the stopped server's log.
func (s *server) appendAt(at time.Time, revision int64) {
	s.t.Helper()
	s.appendTo("user-user_none", revision, eventschema.UserDisabled{UserID: "user_none"}, at)
}

// appendTo appends an event to a stream of the stopped server's log.
func (s *server) appendTo(stream string, revision int64, e eventschema.Event, at time.Time) {
	s.t.Helper()
	node, err := esnode.Start(s.t.Context(), esnode.Options{Dir: filepath.Join(s.dir, "log"), Listen: "127.0.0.1:0"})
	if err != nil {
		s.t.Fatal(err)
	}
	log, err := eventlog.Open(s.t.Context(), eventlog.Options{Address: node.Addr()})
	if err != nil {
		s.t.Fatal(err)
	}
	stored, err := eventschema.All.Encode(e, eventschematest.Sealer{})
	if err != nil {
		s.t.Fatal(err)
	}
	event := eventlog.Event{ID: uuid.New(), Stored: stored, Meta: eventlog.Meta{SchemaVersion: 1, At: at, ActorUserID: "system", ActorKind: "system"}}
	if _, err := log.Append(s.t.Context(), stream, revision-1, event); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startIn)
	defer cancel()
	if err := log.Close(ctx); err != nil {
		s.t.Error(err)
	}
	if err := node.Close(ctx); err != nil {
		s.t.Error(err)
	}
}

// Servers that read events in different ways must not share a database.
func TestAServerOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	database := postgrestest.URL(t)
	db, err := postgres.Open(t.Context(), postgres.Options{URL: database})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := newServer(t)
	s.env = []string{"DATABASE_URL=" + database}
	other, err := db.Agree(t.Context(), "event catalogue", "another catalogue")
	if err != nil {
		t.Fatal(err)
	}
	s.refuses("a server of another version runs on this database")
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := other.Hold(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the other ended: %v", err)
	}
	s.start()
	s.login()
}
