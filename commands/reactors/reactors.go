// Package reactors turns events into jobs and jobs into commands: what the log
// says must happen, happens, however often the process ends in between.
//
// A reactor follows the log through a Watermill router. In one transaction it
// moves its checkpoint and inserts River jobs, so that an event becomes its jobs
// exactly once. A job holds nothing but the event's address: its worker reads the
// event, does what it asks for and reports by commands. A job may run again.
package reactors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/feed"
	"github.com/g4fagent/g4fagent/internal/postgres"
)

// Defaults of Options.
const (
	DefaultRunWorkers = 8
	DefaultGrace      = 5 * time.Second
)

const (
	completionWorkers = 4
	// stopBound is how long, past the grace, interrupted jobs have to end.
	stopBound = 4 * time.Second
	goodbye   = 5 * time.Second

	// A job's insertion is notified; a poll finds what a lost notification left,
	// and what is due again.
	fetchCooldown = 5 * time.Millisecond
	fetchPoll     = 250 * time.Millisecond

	// Done jobs are kept for a look at what just happened; the log keeps the rest.
	keepDone = time.Hour
)

// Options are what Reactors are made of. Recover needs no more than DB, Log,
// InstallationID and Logger.
type Options struct {
	DB  *postgres.DB
	Log *eventlog.Log
	// Feed must not run yet: New adds a watcher.
	Feed     *feed.Feed
	Handlers *commands.Handlers
	Executor *agent.Executor
	// Sealer opens the events that completions complete.
	Sealer eventschema.Sealer
	// InstallationID is the log's. Checkpoints of another are refused.
	InstallationID string
	// NodeID names this node in the journal and in jobs: at most 60 letters, digits,
	// dashes and underscores.
	NodeID string
	// RunWorkers is how many runs are executed at the same time; DefaultRunWorkers
	// if zero.
	RunWorkers int
	// Grace is how long running jobs may go on when Run is told to end, before they
	// are interrupted; DefaultGrace if zero.
	Grace time.Duration
	// Now is the clock; time.Now if nil.
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Reactors are all reactors and the jobs they make. Run works on one node at a
// time; the other methods are safe for concurrent use.
type Reactors struct {
	db           *postgres.DB
	pool         *pgxpool.Pool
	log          *eventlog.Log
	feed         *feed.Feed
	handlers     *commands.Handlers
	executor     *agent.Executor
	sealer       eventschema.Sealer
	installation string
	node         string
	runWorkers   int
	grace        time.Duration
	now          func() time.Time
	logger       *slog.Logger
	quiet        *slog.Logger // for libraries: warnings and errors alone

	followers  []*follower
	inserter   *river.Client[pgx.Tx]
	executions *executions
	metrics    *metrics
	running    atomic.Bool
}

// New makes Reactors. Nothing happens before Run or Recover.
func New(o Options) (*Reactors, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.RunWorkers <= 0 {
		o.RunWorkers = DefaultRunWorkers
	}
	if o.Grace <= 0 {
		o.Grace = DefaultGrace
	}
	r := &Reactors{
		db: o.DB, pool: o.DB.Pool(), log: o.Log, feed: o.Feed, handlers: o.Handlers, executor: o.Executor, sealer: o.Sealer,
		installation: o.InstallationID, node: o.NodeID, runWorkers: o.RunWorkers, grace: o.Grace, now: o.Now,
		logger: o.Logger, quiet: slog.New(warnings{o.Logger.Handler()}),
		executions: &executions{all: map[*execution]struct{}{}},
	}
	// Jobs are inserted by a client that does not work on any: a client notifies no
	// more often than it fetches, and what it leaves out waits for a poll.
	inserter, err := river.NewClient(riverpgxv5.New(r.pool), &river.Config{
		Schema: schema, Logger: r.quiet, FetchCooldown: river.FetchCooldownMin,
	})
	if err != nil {
		return nil, fmt.Errorf("make the job queue's client: %w", err)
	}
	r.inserter = inserter
	for _, each := range all() {
		r.followers = append(r.followers, &follower{reactor: each, Reactors: r, retry: retryAfter})
	}
	r.metrics = newMetrics(r, o.Registerer)
	if r.feed != nil {
		r.feed.Watch(r.watch)
	}
	return r, nil
}

// watch takes one record of the log's live end.
func (r *Reactors) watch(record eventlog.Record) {
	r.executions.watch(record)
	if !r.running.Load() {
		return
	}
	switch record.Stored.Name {
	case runCompleted, runFailed, runCanceled:
		r.metrics.runs.WithLabelValues(strings.TrimPrefix(record.Stored.Name, "run.")).Inc()
	}
}

// Run makes jobs of events and works on them until ctx ends, and then returns nil
// once running jobs have ended: they may go on for the grace, and are interrupted
// after it; the next Run, here or elsewhere, goes on with them. When ctx ends
// because leadership was lost they are interrupted at once.
//
// It fails when the tables cannot be made or read, when the checkpoints are not
// this log's (ErrOtherInstallation, ErrAheadOfLog), and when the connection broke
// whose lock says that this node is alive. It may be called again.
func (r *Reactors) Run(ctx context.Context) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("name the job queue's client: %w", err)
	}
	// Each call is a client of its own: jobs that an earlier one could not put down
	// are an orphan's.
	client := r.node + "-" + id.String()
	leading, end := context.WithCancel(ctx)
	defer end()
	var result error
	campaign := r.db.Lead(leading, alive(client), func(holding context.Context) error {
		defer end() // whatever it was, it is not to be repeated under this name
		result = r.serve(holding, client)
		if lost := context.Cause(holding); ctx.Err() == nil && lost != nil {
			result = errors.Join(result, lost)
		}
		return nil
	})
	if campaign != nil && leading.Err() == nil {
		return campaign
	}
	return result
}

// serve works as client until ctx ends.
func (r *Reactors) serve(ctx context.Context, client string) error {
	queue, err := r.open(ctx, client)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // it was told to end before it had begun
	case err != nil:
		return err
	}
	r.running.Store(true)
	defer r.running.Store(false)
	defer r.metrics.away()
	r.logger.InfoContext(ctx, "reactors run", slog.String("client", client), slog.Int("run_workers", r.runWorkers))
	var working sync.WaitGroup
	for _, f := range r.followers {
		working.Go(func() { f.run(ctx) })
	}
	working.Go(func() { r.housekeep(ctx, client) })
	<-ctx.Done()
	err = r.stop(ctx, queue)
	working.Wait()
	return err
}

// open prepares the tables, takes back what others left, and starts the queue.
func (r *Reactors) open(ctx context.Context, client string) (*river.Client[pgx.Tx], error) {
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	queue, err := r.queue(client)
	if err != nil {
		return nil, err
	}
	if err := r.tidy(ctx, client); err != nil {
		return nil, err
	}
	if err := queue.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, fmt.Errorf("start the job queue: %w", err)
	}
	return queue, nil
}

// prepare makes what is missing, and checks what is there.
func (r *Reactors) prepare(ctx context.Context) error {
	if err := r.setUp(ctx); err != nil {
		return err
	}
	complete, err := r.check(ctx)
	if err != nil || complete {
		return err
	}
	recovered, err := r.recover(ctx)
	if err != nil {
		return fmt.Errorf("start reactors without a checkpoint: %w", err)
	}
	r.logger.InfoContext(ctx, "reactors start without a checkpoint",
		slog.String("position", recovered.Position.String()), slog.Any("recovered_jobs", recovered.Jobs))
	return nil
}

// queue is River as client.
func (r *Reactors) queue(client string) (*river.Client[pgx.Tx], error) {
	config := &river.Config{
		ID: client, Schema: schema, Logger: r.quiet, Workers: r.workers(),
		Queues: map[string]river.QueueConfig{
			queueCompletions: {MaxWorkers: completionWorkers},
			queueRuns:        {MaxWorkers: r.runWorkers},
		},
		FetchCooldown: fetchCooldown, FetchPollInterval: fetchPoll,
		// A job ends when it is done: runs have a bound of their own.
		JobTimeout:           -1,
		RescueStuckJobsAfter: max(time.Hour, 2*r.executor.RunTimeout()),
		RetryPolicy:          retries{},
		Middleware:           []rivertype.Middleware{&supervisor{Reactors: r}},
		SoftStopTimeout:      r.grace,

		CompletedJobRetentionPeriod: keepDone,
		DiscardedJobRetentionPeriod: -1, // there are none; if there were, somebody must see them
	}
	queue, err := river.NewClient(riverpgxv5.New(r.pool), config)
	if err != nil {
		return nil, fmt.Errorf("make the job queue's client: %w", err)
	}
	return queue, nil
}

// stop ends the queue: gently, or at once when another node may already lead.
func (r *Reactors) stop(ctx context.Context, queue *river.Client[pgx.Tx]) error {
	lost := errors.Is(context.Cause(ctx), postgres.ErrLeadershipLost)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.grace+stopBound)
	defer cancel()
	stop := queue.Stop
	if lost {
		stop = queue.StopAndCancel
	}
	if err := stop(ctx); err != nil {
		return fmt.Errorf("stop the job queue: %w", err)
	}
	return nil
}

// warnings hands on what is at least a warning: libraries tell much of what
// nobody asked about.
type warnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
