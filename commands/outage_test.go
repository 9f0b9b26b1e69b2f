package commands_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/eventlog/eventlogtest"
	"github.com/g4fagent/g4fagent/internal/fault"
)

// store is an event store that can be stopped and started on the same log.
type store struct {
	t      *testing.T
	fs     vfs.FS
	listen string
	node   *esnodetest.Node
	logs   []*eventlog.Log
}

func newStore(t *testing.T) *store {
	t.Helper()
	dir, err := os.MkdirTemp("", "store") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s := &store{t: t, fs: vfs.NewMem(), listen: "unix:" + filepath.Join(dir, "s")}
	s.start()
	return s
}

func (s *store) start() {
	s.t.Helper()
	s.node = esnodetest.Start(s.t, func(o *esnode.Options) { o.FS, o.Listen = s.fs, s.listen })
	s.t.Cleanup(s.close)
}

// close ends the logs before their store: the client's calls end while they find
// one.
func (s *store) close() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), patience)
	defer cancel()
	for _, log := range s.logs {
		if err := log.Close(ctx); err != nil {
			s.t.Error(err)
		}
	}
}

func (s *store) stop() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), patience)
	defer cancel()
	if err := s.node.Close(ctx); err != nil {
		s.t.Fatal(err)
	}
}

func (s *store) open() *eventlog.Log {
	log := eventlogtest.At(s.t, s.node.Addr())
	s.logs = append(s.logs, log)
	return log
}

// appendBound is how long an append looks for its outcome, and a little more.
const appendBound = 19 * time.Second

func TestTheLogIsAway(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	r := rigOn(t, s.open())
	project := r.project()
	id := r.session(project)
	run := r.run(id)
	x := r.execute(id, run)
	cold := rigOn(t, r.log)
	user := r.user("ada@example.org", "viewer")
	l := mustLogInAs(t, r, "ada@example.org")
	before := r.names("session-" + id)
	s.stop()

	tries := map[string]func() error{
		"a message": func() error {
			_, err := r.PostMessage(r.by(request{key: "k"}), newMessage(id, "x"))
			return err
		},
		"a message of whom nothing is cached": func() error {
			_, err := cold.PostMessage(r.someone(), newMessage(id, "x"))
			return err
		},
		"a project": func() error {
			_, err := r.CreateProject(r.by(request{key: "k"}), newProject("p"))
			return err
		},
		"a session": func() error {
			_, err := r.CreateSession(r.by(request{key: "k"}), newSession(project))
			return err
		},
		"a user": func() error {
			_, err := r.CreateUser(r.by(request{key: "k"}), commands.CreateUser{Name: "Bob", Email: "bob@example.org"})
			return err
		},
		"a user's end": func() error {
			_, err := r.DeleteUser(r.someone(), commands.DeleteUser{UserID: user})
			return err
		},
		"what would change nothing": func() error {
			_, err := r.UpdateProject(r.someone(), commands.UpdateProject{ProjectID: project, Name: new("p")})
			return err
		},
		"a login": func() error {
			_, err := r.LogInWithPassword(r.someone(), "ada@example.org", "secret")
			return err
		},
		"a refresh": func() error {
			_, err := r.RefreshLogin(r.someone(), l.RefreshToken)
			return err
		},
		"a run's output": func() error { return x.Output(t.Context(), "x") },
		"whether something is there": func() error {
			return cold.Exists(r.someone(), map[string]string{"project_id": project})
		},
	}
	type answer struct {
		what string
		err  error
		took time.Duration
	}
	answers := make(chan answer, len(tries))
	for what, try := range tries {
		go func() {
			start := time.Now()
			answers <- answer{what, try(), time.Since(start)}
		}()
	}
	for range tries {
		a := <-answers
		if known, ok := errors.AsType[*fault.Error](a.err); !ok || known.Kind != fault.Unavailable || !known.Retryable() {
			t.Errorf("%s: error is %v", a.what, a.err)
		}
		if a.took > appendBound {
			t.Errorf("%s was refused after %s", a.what, a.took)
		}
	}

	s.start()
	ready, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.log.Ready(ready); err != nil {
		t.Fatal(err)
	}
	if got := r.names("session-" + id); !slices.Equal(got, before) {
		t.Errorf("the journal holds %q, held %q", got, before)
	}
	if got := len(r.records("project-" + project)); got != 2 {
		t.Errorf("the project has %d events", got)
	}
	// Whoever asks again gets it once, and whole.
	receipt := must(r.CreateSession(r.by(request{key: "k"}), newSession(project)))(t)
	if !slices.Equal(receipt.Types(), []string{"project.session_added", "session.created"}) {
		t.Errorf("answer %q", receipt.Types())
	}
	must(r.PostMessage(r.by(request{key: "k"}), newMessage(id, "x")))(t)
	if again := must(cold.PostMessage(r.by(request{key: "k"}), newMessage(id, "x")))(t); !again.Replayed {
		t.Errorf("answer %+v", again)
	}
	if err := x.Complete(t.Context(), "", "x", eventschema.Usage{}); err != nil {
		t.Error(err)
	}
}

func mustLogInAs(t testing.TB, r *rig, email string) commands.Login {
	t.Helper()
	l, err := r.LogInWithPassword(r.someone(), email, "secret")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A log that comes back in time is waited for: the client sees a slow answer, and
// the command is carried out once.
func TestTheLogComesBack(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	r := rigOn(t, s.open())
	id := r.session("")
	s.stop()
	begun, answered := make(chan struct{}), make(chan error, 1)
	go func() {
		close(begun)
		_, err := r.PostMessage(r.someone(), newMessage(id, "x"))
		answered <- err
	}()
	<-begun
	s.start()
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	if got := r.names("session-" + id); !slices.Equal(got, []string{"session.created", "message.posted"}) {
		t.Errorf("the journal holds %q", got)
	}
}
