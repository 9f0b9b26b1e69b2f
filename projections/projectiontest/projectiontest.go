// Package projectiontest lets a projector's test read as given, then:
//
//	pool := projectiontest.Given(t, messages.Projector(), "session-s1", created, posted)
//	got, err := messages.BySession(t.Context(), pool, "s1", 0, 10)
package projectiontest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
	"github.com/g4fagent/g4fagent/projections"
)

// Given applies events of one stream to a fresh read model and returns the
// database that holds it. See Kit.Apply for what it checks.
func Given(t testing.TB, p *projections.Projector, stream string, events ...eventschema.Event) *pgxpool.Pool {
	t.Helper()
	k := Start(t, p)
	k.Apply(stream, events...)
	return k.Pool
}

// Kit is a read model, its engine and the log that it follows, for tests that
// take more than one step.
type Kit struct {
	Pool *pgxpool.Pool
	Log  *Log

	t          testing.TB
	projectors []*projections.Projector
	engine     *projections.Engine
	awaiter    *projections.Awaiter
}

// InstallationID is the installation of every Kit.
const InstallationID = "inst_test"

// patience is how long a step may take before the test fails.
const patience = 20 * time.Second

// Start runs an engine on an empty log and a database of the test's own, until
// the test ends.
func Start(t testing.TB, projectors ...*projections.Projector) *Kit {
	t.Helper()
	k := &Kit{
		Pool: postgrestest.Pool(t), Log: NewLog(), t: t, projectors: projectors,
		awaiter: projections.NewAwaiter(projections.AwaiterOptions{Projectors: projectors}),
	}
	k.Log.Repeat = 1
	engine, err := projections.NewEngine(projections.Options{
		Pool: k.Pool, Log: k.Log, Source: k.Log.Source, Catalogue: eventschema.All, Sealer: k.Log.Sealer,
		Projectors: projectors, InstallationID: InstallationID, Awaiter: k.awaiter, MaxBatch: 1,
		Now: func() time.Time { return Epoch },
	})
	if err != nil {
		t.Fatal(err)
	}
	k.engine = engine
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the engine ended: %v", err)
		}
	})
	return k
}

// Apply appends the events to a stream and waits until the read models show
// them. The test fails when a projector cannot apply one, when its SQL reads
// tables or depends on more than the log, or when the same events, replayed in
// batches of another size, give other rows.
//
// Each event is delivered twice, sealed fields are really sealed, and positions,
// revisions and times count up from a fixed start; With adjusts single events.
func (k *Kit) Apply(stream string, events ...eventschema.Event) []eventlog.Record {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	records, err := k.apply(ctx, stream, events...)
	if err != nil {
		k.t.Fatal(err)
	}
	return records
}

func (k *Kit) apply(ctx context.Context, stream string, events ...eventschema.Event) ([]eventlog.Record, error) {
	records, err := k.Log.Append(stream, events...)
	if err != nil || len(records) == 0 {
		return nil, err
	}
	if err := k.inspect(records); err != nil {
		return nil, err
	}
	if err := k.settle(ctx, records[len(records)-1].Position); err != nil {
		return nil, err
	}
	found, err := k.engine.Fsck(ctx)
	if err != nil {
		return nil, err
	}
	if len(found) > 0 {
		return nil, fmt.Errorf("a replay gives other rows: %v", found)
	}
	return records, nil
}

// Rebuild builds the read models again, as after a key was destroyed.
func (k *Kit) Rebuild() error {
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	return k.engine.Rebuild(ctx)
}

func (k *Kit) settle(ctx context.Context, position eventlog.Position) error {
	all := make([]string, len(k.projectors))
	for i, p := range k.projectors {
		all[i] = p.Name
	}
	lagging, err := k.awaiter.Wait(ctx, position, all)
	if err != nil || !lagging {
		return err
	}
	for _, s := range k.engine.Status() {
		if s.Stuck != nil {
			return fmt.Errorf("%s is stuck at %s (%s): %w", s.Name, s.Stuck.Position, s.Stuck.Event, s.Stuck.Cause)
		}
	}
	return fmt.Errorf("the read models have not reached %s: %+v", position, k.engine.Status())
}

func (k *Kit) inspect(records []eventlog.Record) error {
	for _, r := range records {
		e, err := eventschema.All.Decode(r.Stored, k.Log.Sealer)
		if err != nil {
			return err
		}
		for _, p := range k.projectors {
			for _, sql := range p.Statements(r, e) {
				if err := inspect(sql); err != nil {
					return fmt.Errorf("%s on %s: %w:\n%s", p.Name, r.Stored.Name, err, sql)
				}
			}
		}
	}
	return nil
}

var (
	selects = regexp.MustCompile(`(?i)\bselect\b`)
	source  = regexp.MustCompile(`(?i)\b(?:from|join)\s+(?:lateral\s+)?[\w."]+(\s*\()?`)
)

// inspect refuses SQL that a handler must not queue. Selecting from a function,
// such as unnest, reads nothing.
func inspect(sql string) error {
	if err := projections.Deterministic(sql); err != nil {
		return err
	}
	if !selects.MatchString(sql) {
		return nil
	}
	for _, s := range source.FindAllStringSubmatch(sql, -1) {
		if s[1] == "" {
			return errors.New("a handler reads a table; let the statement's own arithmetic do it")
		}
	}
	return nil
}
