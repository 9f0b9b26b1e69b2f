package projections_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
	"github.com/g4fagent/g4fagent/projections"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// counter counts every project.created by id: an event that was applied twice
// shows.
func counter(name string) *projections.Projector {
	return projections.New(name,
		`create table `+name+` (id text primary key, n int not null, at bigint not null)`,
		projections.On(func(b *projections.Batch, r eventlog.Record, e eventschema.ProjectCreated) {
			b.Exec(`insert into `+name+` values ($1, 1, $2) on conflict (id) do update set n = `+name+`.n + 1`,
				e.ProjectID, int64(r.Position.Commit))
		}))
}

// rig is an engine, what it works on, and what it said.
type rig struct {
	t       testing.TB
	pool    *pgxpool.Pool
	log     *projectiontest.Log
	engine  *projections.Engine
	awaiter *projections.Awaiter
	said    *said
	names   []string
	ended   chan error
	stop    context.CancelFunc
}

// newRig is not running yet. Options that are zero are filled in.
func newRig(t testing.TB, pool *pgxpool.Pool, log *projectiontest.Log, o projections.Options) *rig {
	t.Helper()
	r := &rig{t: t, pool: pool, log: log, said: &said{grown: make(chan struct{})}}
	for _, p := range o.Projectors {
		r.names = append(r.names, p.Name)
	}
	r.awaiter = projections.NewAwaiter(projections.AwaiterOptions{Projectors: o.Projectors, Pool: pool})
	o.Pool, o.Log, o.Sealer, o.Catalogue, o.Awaiter = pool, log, log.Sealer, eventschema.All, r.awaiter
	o.Logger = slog.New(r.said)
	if o.Source == nil {
		o.Source = log.Source
	}
	if o.Now == nil {
		o.Now = func() time.Time { return projectiontest.Epoch }
	}
	if o.InstallationID == "" {
		o.InstallationID = projectiontest.InstallationID
	}
	if o.RetryMin == 0 {
		o.RetryMin, o.RetryMax = time.Millisecond, 20*time.Millisecond
	}
	o.OutageMin, o.OutageMax = time.Millisecond, 20*time.Millisecond
	engine, err := projections.NewEngine(o)
	if err != nil {
		t.Fatal(err)
	}
	r.engine = engine
	return r
}

// start runs an engine of the projectors on a fresh database and an empty log.
func start(t testing.TB, projectors ...*projections.Projector) *rig {
	t.Helper()
	r := newRig(t, postgrestest.Pool(t), projectiontest.NewLog(), projections.Options{Projectors: projectors})
	r.run()
	return r
}

func (r *rig) run() {
	r.t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(r.t.Context()))
	r.stop, r.ended = stop, make(chan error, 1)
	ended := r.ended
	go func() {
		ended <- r.engine.Run(ctx)
		close(ended)
	}()
	r.t.Cleanup(r.halt)
}

// halt stops the engine and waits for it.
func (r *rig) halt() {
	r.stop()
	if err, open := <-r.ended; open && !errors.Is(err, context.Canceled) {
		r.t.Errorf("the engine ended: %v", err)
	}
}

// create appends n projects, numbered from from on.
func (r *rig) create(from, n int) eventlog.Position {
	r.t.Helper()
	var last eventlog.Position
	for i := range n {
		last = r.append(eventschema.ProjectCreated{ProjectID: fmt.Sprintf("p%05d", from+i), Name: "x"}).Position
	}
	return last
}

// write creates projects, numbered from from on, as fast as the first projector
// shows them, until there are most or the function is called that it returns.
// That one says how many there are.
func (r *rig) write(from, most int) (written func() int) {
	stop := make(chan struct{})
	n := from
	var writing sync.WaitGroup
	writing.Go(func() {
		for n < most {
			select {
			case <-stop:
				return
			default:
				r.reach(r.create(n, 10), r.names[0])
				n += 10
			}
		}
	})
	return func() int {
		close(stop)
		writing.Wait()
		return n
	}
}

func (r *rig) append(events ...eventschema.Event) eventlog.Record {
	r.t.Helper()
	records, err := r.log.Append("project-p", events...)
	if err != nil {
		r.t.Fatal(err)
	}
	return records[len(records)-1]
}

// reach waits until the named projectors, all if none is named, are at position.
func (r *rig) reach(position eventlog.Position, names ...string) {
	r.t.Helper()
	if len(names) == 0 {
		names = r.names
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	lagging, err := r.awaiter.Wait(ctx, position, names)
	if err != nil || lagging {
		r.t.Fatalf("%v did not reach %s (lagging %v, error %v): %+v", names, position, lagging, err, r.engine.Status())
	}
}

// status is one projector's.
func (r *rig) status(name string) projections.Status {
	r.t.Helper()
	all := r.engine.Status()
	i := slices.IndexFunc(all, func(s projections.Status) bool { return s.Name == name })
	if i < 0 {
		r.t.Fatalf("no status of %s in %+v", name, all)
	}
	return all[i]
}

// counted is how often each project was counted.
func counted(t testing.TB, pool *pgxpool.Pool, table string) map[int]int {
	t.Helper()
	rows, err := pool.Query(t.Context(), `select n, count(*)::int from `+table+` group by n`)
	if err != nil {
		t.Fatal(err)
	}
	times := map[int]int{}
	var n, count int
	if _, err := pgx.ForEachRow(rows, []any{&n, &count}, func() error { times[n] = count; return nil }); err != nil {
		t.Fatal(err)
	}
	return times
}

// once fails the test unless n projects were counted once each.
func (r *rig) once(n int, tables ...string) {
	r.t.Helper()
	if len(tables) == 0 {
		tables = r.names
	}
	for _, table := range tables {
		times := counted(r.t, r.pool, table)
		if len(times) != 1 || times[1] != n {
			r.t.Errorf("%s: projects by how often they were counted: %v, want %d once", table, times, n)
		}
	}
}

// said keeps what an engine logs.
type said struct {
	mu    sync.Mutex
	lines []line
	grown chan struct{}
}

type line struct {
	level   slog.Level
	message string
	attrs   map[string]slog.Value
}

func (s *said) Enabled(context.Context, slog.Level) bool { return true }
func (s *said) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *said) WithGroup(string) slog.Handler            { return s }

func (s *said) Handle(_ context.Context, r slog.Record) error {
	l := line{level: r.Level, message: r.Message, attrs: map[string]slog.Value{}}
	r.Attrs(func(a slog.Attr) bool { l.attrs[a.Key] = slog.StringValue(a.Value.String()); return true })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, l)
	close(s.grown)
	s.grown = make(chan struct{})
	return nil
}

// await returns the lines with a message once there are n of them.
func (s *said) await(t testing.TB, message string, n int) []line {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		s.mu.Lock()
		var found []line
		for _, l := range s.lines {
			if l.message == message {
				found = append(found, l)
			}
		}
		grown := s.grown
		s.mu.Unlock()
		if len(found) >= n {
			return found
		}
		select {
		case <-grown:
		case <-ctx.Done():
			t.Fatalf("%q was logged %d times, not %d", message, len(found), n)
		}
	}
}
