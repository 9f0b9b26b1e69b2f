package reactors_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/commands/reactors"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/eventlog/eventlogtest"
	"github.com/g4fagent/g4fagent/internal/feed"
	"github.com/g4fagent/g4fagent/internal/postgres"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
)

// The test binary is a node of its own when these are set.
const (
	victimLog   = "REACTORS_TEST_LOG"
	victimDB    = "REACTORS_TEST_DB"
	victimModel = "REACTORS_TEST_MODEL"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimLog) == "" {
		os.Exit(m.Run())
	}
	if err := victim(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// elsewhere is the provider of a node in another process.
type elsewhere string

func (url elsewhere) Client(context.Context, string) (provider.Client, error) {
	return provider.New(provider.Config{ID: "custom", BaseURL: string(url)}, http.DefaultClient)
}

// victim runs reactors until it is killed.
func victim() error {
	ctx := context.Background()
	log, err := eventlog.Open(ctx, eventlog.Options{Address: os.Getenv(victimLog)})
	if err != nil {
		return err
	}
	db, err := postgres.Open(ctx, postgres.Options{URL: os.Getenv(victimDB)})
	if err != nil {
		return err
	}
	handlers, err := commands.New(commands.Options{Log: log, Vault: keys{}, Now: time.Now})
	if err != nil {
		return err
	}
	live := feed.New(log, time.Now)
	r, err := reactors.New(reactors.Options{
		DB: db, Log: log, Feed: live, Handlers: handlers, Sealer: keys{}, InstallationID: installation, NodeID: "victim",
		Executor: agent.New(agent.Options{Providers: elsewhere(os.Getenv(victimModel))}),
	})
	if err != nil {
		return err
	}
	go func() { _ = live.Run(ctx) }()
	return r.Run(ctx)
}

func TestTheWorkOfAKilledNodeIsTakenOver(t *testing.T) {
	t.Parallel()
	address := esnodetest.Start(t).Addr()
	url := postgrestest.URL(t)
	db, err := postgres.Open(t.Context(), postgres.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	h := houseOn(t, eventlogtest.At(t, address), db)

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimLog+"="+address, victimDB+"="+url, victimModel+"="+h.model.server.URL)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	session, run := h.ask("why?")
	journal := "session-" + session
	q := h.model.next(t)
	q.say("half an answ")
	h.history.await(journal, "run.output_appended", 1)
	// This one waits for the victim to die, as the rest of the house does.
	n := h.node(options{id: "heir"})
	n.run()
	h.until("the heir runs", func() bool { return n.Status() != nil })
	if jobs := h.jobs(); jobs["execute_run running"] != 1 {
		t.Fatalf("jobs %v: nobody may take the work of a node that lives", jobs)
	}

	killed := time.Now()
	kill()
	q = h.model.next(t)
	took := time.Since(killed)
	t.Logf("taken over after %s", took)
	if took > 6*time.Second {
		t.Errorf("the run was taken over after %s", took)
	}
	q.say("a whole answer")
	q.end()
	h.history.await(journal, "run.completed", 1)
	h.mustAnswerOnce(session, run, "a whole answer")
	if a := read[eventschema.RunAttemptStarted](t, h.history.await(journal, "run.started", 2)); a.Attempt != 2 || a.Node != "heir" {
		t.Errorf("the second attempt is %+v", a)
	}
}
