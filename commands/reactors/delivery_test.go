package reactors_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"
	dto "github.com/prometheus/client_model/go"

	"github.com/g4fagent/g4fagent/commands/reactors"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/postgres"
)

// checkpoint of a reactor.
func (h *house) checkpoint(name string) eventlog.Position {
	h.t.Helper()
	var commit, prepare int64
	err := h.db.Pool().QueryRow(h.t.Context(), `
		select commit_position, prepare_position from river.reactor_checkpoint where name = $1`, name).Scan(&commit, &prepare)
	if err != nil {
		h.t.Fatal(err)
	}
	return eventlog.Position{Commit: uint64(commit), Prepare: uint64(prepare)}
}

func (h *house) exec(sql string, args ...any) {
	h.t.Helper()
	if _, err := h.db.Pool().Exec(h.t.Context(), sql, args...); err != nil {
		h.t.Fatal(err)
	}
}

func TestAnEventBecomesAJobOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(options{}).stop() // the tables are there
	// The first commits of a checkpoint that has its jobs lose their connection.
	h.exec(`create sequence river.crashes`)
	h.exec(`create function river.crash() returns trigger language plpgsql as $$
		begin
			if nextval('river.crashes') <= 3 then
				perform pg_terminate_backend(pg_backend_pid());
				perform pg_sleep(1);
			end if;
			return null;
		end $$`)
	h.exec(`create constraint trigger crash after update on river.reactor_checkpoint
		deferrable initially deferred for each row execute function river.crash()`)
	h.start(options{})
	session := h.session(h.project("p"), "unknown")
	const runs = 20
	for range runs {
		h.request(session, h.message(session, "why?"))
	}
	h.history.await("session-"+session, "run.failed", runs)
	h.idle()
	if jobs := h.jobs(); jobs["execute_run completed"] != runs || jobs["start_journal completed"] != 1 {
		t.Errorf("jobs %v, want one for each of %d runs and 1 session", jobs, runs)
	}
	var crashes int
	if err := h.db.Pool().QueryRow(t.Context(), `select last_value from river.crashes`).Scan(&crashes); err != nil || crashes <= 3 {
		t.Errorf("there were %d commits, %v: the test has crashed nothing", crashes, err)
	}
}

func TestDeliveryBeginsAnewWhereTheCheckpointIs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(options{})
	session := h.session(h.project("p"), "custom")
	before := h.checkpoint("runs")
	answer := func(n int) {
		h.request(session, h.message(session, "why?"))
		q := h.model.next(t)
		q.say("so")
		q.end()
		h.history.await("session-"+session, "run.completed", n)
		h.idle()
	}
	answer(1)
	// A crash of Postgres takes back what it had not yet written, jobs included.
	h.exec(`delete from river.river_job where queue = 'runs'`)
	h.exec(`update river.reactor_checkpoint set commit_position = $1, prepare_position = $2 where name = 'runs'`, int64(before.Commit), int64(before.Prepare))
	answer(2)
	if jobs := h.jobs(); jobs["execute_run completed"] != 2 {
		t.Errorf("jobs %v, want the lost one again and a new one", jobs)
	}
	h.model.mustNotBeAsked(t) // the lost job found that its run is over
}

func TestACheckpointPassesWhatNobodyWants(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(options{})
	before := h.checkpoint("runs")
	const batch = 100
	for i := range 2 * reactors.PassEvery / batch {
		events := make([]eventschema.Event, batch)
		for j := range events {
			events[j] = eventschema.UserPasswordChanged{UserID: "user_1", Verifier: "v"}
		}
		h.append("user-user_1", int64(i*batch-1), events...)
	}
	h.until("the checkpoint moved", func() bool { return before.Less(h.checkpoint("runs")) && before.Less(h.checkpoint("completions")) })
	if jobs := h.jobs(); len(jobs) != 0 {
		t.Errorf("jobs %v", jobs)
	}
}

func TestAReactorThatIsStuckIsLoud(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	n := h.start(options{})
	future := eventlog.Event{ID: uuid.New(), Stored: eventschema.Stored{Name: "run.requested", Version: 99, Data: []byte(`{}`)}}
	receipt, err := h.log.Append(t.Context(), "session-future", eventlog.NoStream, future)
	if err != nil {
		t.Fatal(err)
	}
	status := func(name string) reactors.Status {
		for _, s := range n.Status() {
			if s.Name == name {
				return s
			}
		}
		t.Fatalf("there is no %s in %+v", name, n.Status())
		panic("unreachable")
	}
	h.until("the reactor is stuck", func() bool {
		s := status("runs")
		return s.Stuck != nil && s.Stuck.Attempts > 2
	})
	stuck := status("runs").Stuck
	if stuck.Position != receipt.Position || stuck.Event != "run.requested" || stuck.Stream != "session-future" || !errors.Is(stuck.Cause, eventschema.ErrUnknownEvent) {
		t.Errorf("stuck at %+v", stuck)
	}
	if before := h.checkpoint("runs"); !before.Less(receipt.Position) {
		t.Errorf("the checkpoint %s is not before the event at %s", before, receipt.Position)
	}
	if got := n.metric("g4fagent_reactor_stuck", "runs"); got != 1 {
		t.Errorf("the metric says %v", got)
	}
	// The other reactor gets on.
	h.append("reservation-email-h1", eventlog.NoStream, reserved("user_1", "h1"))
	h.history.await("user-user_1", "user.created", 1)
	if s := status("completions"); s.Stuck != nil || n.metric("g4fagent_reactor_stuck", "completions") != 0 {
		t.Errorf("the other reactor is at %+v", s)
	}
	h.until("the lag shows", func() bool { return n.metric("g4fagent_reactor_lag_seconds", "runs") > 0 })
}

// metric reads the gauge or counter that has this label's value, -1 if there is
// none.
func (n *node) metric(name, label string) float64 {
	n.house.t.Helper()
	families, err := n.metrics.Gather()
	if err != nil {
		n.house.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && labelled(m, label) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return -1
}

func labelled(m *dto.Metric, value string) bool {
	for _, l := range m.GetLabel() {
		if l.GetValue() == value {
			return true
		}
	}
	return false
}

func TestCheckpointsOfAnotherLogAreRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, change string
		want         error
	}{
		{"another installation", `update river.reactor_checkpoint set installation_id = 'inst_other'`, reactors.ErrOtherInstallation},
		{"past the log's end", `update river.reactor_checkpoint set commit_position = 1000000000, prepare_position = 1000000000`, reactors.ErrAheadOfLog},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.start(options{}).stop()
			h.exec(tt.change)
			if err := h.node(options{}).Run(t.Context()); !errors.Is(err, tt.want) {
				t.Errorf("Run: %v, want %v", err, tt.want)
			}
			if _, err := h.node(options{}).Recover(t.Context()); !errors.Is(err, tt.want) {
				t.Errorf("Recover: %v, want %v", err, tt.want)
			}
		})
	}
}

func TestANodeWhoseLockIsLostEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	n := h.start(options{})
	session, run := h.ask("why?")
	q := h.model.next(t)
	q.say("half")
	h.history.await("session-"+session, "run.output_appended", 1)
	h.exec(`select pg_terminate_backend(pid) from pg_locks
		where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database()) and pid <> pg_backend_pid()`)
	if err := <-n.ended; !errors.Is(err, postgres.ErrLeadershipLost) {
		t.Errorf("the node ended with %v, want %v", err, postgres.ErrLeadershipLost)
	}
	q.mustBeAborted(t)

	again := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { again <- n.Run(ctx) }()
	q = h.model.next(t)
	q.say("whole")
	q.end()
	h.history.await("session-"+session, "run.completed", 1)
	h.mustAnswerOnce(session, run, "whole")
	cancel()
	if err := <-again; err != nil {
		t.Error(fmt.Errorf("run again: %w", err))
	}
}
