package reactors

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/trace"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/failpoint"
	"github.com/g4fagent/g4fagent/internal/identity"
)

// arguments are those of every kind of job.
type arguments interface {
	river.JobArgs
	event() cause
}

// worker does jobs of one kind. It is given the event that asks for the job, and
// may be given it again: what was done already shows in the log.
type worker[A arguments] struct {
	river.WorkerDefaults[A]

	log  *eventlog.Log
	work func(context.Context, eventlog.Record) error
}

// Work implements river.Worker.
func (w *worker[A]) Work(ctx context.Context, job *river.Job[A]) error {
	why := job.Args.event()
	page, err := w.log.Read(ctx, why.Stream, why.Revision, 1)
	if err != nil {
		return err
	}
	if len(page) == 0 || page[0].Revision != why.Revision {
		return fmt.Errorf("the log has no event %s", why)
	}
	failpoint.Hit(failpoint.Working)
	ctx = commands.Because(identity.WithPrincipal(ctx, identity.Server()), page[0])
	return w.work(traced(ctx, page[0].Meta.CorrelationID), page[0])
}

// traced makes what is done part of the trace that a client began, if it is one:
// the correlation is then the trace's id.
func traced(ctx context.Context, correlation string) context.Context {
	id, err := trace.TraceIDFromHex(correlation)
	if err != nil {
		return ctx // a request's id
	}
	var span trace.SpanID
	_, _ = crand.Read(span[:]) // never fails: it ends the program rather
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span}))
}

// workers are who does each kind of job.
func (r *Reactors) workers() *river.Workers {
	w := river.NewWorkers()
	add[startJournal](w, r, r.startJournal)
	add[startUser](w, r, r.startUser)
	add[releaseEmail](w, r, r.releaseEmail)
	add[countAdmin](w, r, r.countAdmin)
	add[recountAdmin](w, r, r.recountAdmin)
	add[closeSessions](w, r, r.closeSessions)
	add[executeRun](w, r, r.executeRun)
	return w
}

func add[A arguments](w *river.Workers, r *Reactors, work func(context.Context, eventlog.Record) error) {
	river.AddWorker(w, &worker[A]{log: r.log, work: work})
}

const (
	// recordedFailures is how many failures a job's row keeps. A job fails for as
	// long as it takes: after these it is put off instead, so that it neither grows
	// nor uses up its attempts.
	recordedFailures = 20
	firstRetry       = 200 * time.Millisecond
	lastRetry        = 30 * time.Second
)

// retries says when a failed job is tried again.
type retries struct{}

// NextRetry implements river.ClientRetryPolicy: the wait doubles up to lastRetry,
// each drawn between its half and its whole.
func (retries) NextRetry(job *rivertype.JobRow) time.Time {
	wait := min(firstRetry<<min(len(job.Errors), 16), lastRetry)
	return time.Now().Add(wait/2 + rand.N(wait/2+1))
}

// supervisor is around every job: it counts, logs, and keeps failing jobs alive.
type supervisor struct {
	river.MiddlewareDefaults

	*Reactors
}

// Work implements rivertype.WorkerMiddleware.
func (s *supervisor) Work(ctx context.Context, job *rivertype.JobRow, inner func(context.Context) error) error {
	began := time.Now()
	err := shielded(ctx, inner)
	outcome := "done"
	switch {
	case err == nil:
	case ctx.Err() != nil:
		outcome = "interrupted" // the node is stopping; the next start goes on
	default:
		outcome = "failed"
	}
	s.metrics.worked(job.Kind, outcome, began.Sub(job.ScheduledAt), time.Since(began))
	attrs := []slog.Attr{
		slog.String("kind", job.Kind), slog.Int64("job", job.ID), slog.String("args", string(job.EncodedArgs)),
		slog.String("outcome", outcome), slog.Int("attempt", job.Attempt), slog.Duration("took", time.Since(began)),
	}
	if outcome != "failed" {
		s.logger.LogAttrs(ctx, slog.LevelInfo, "job", attrs...)
		return err
	}
	s.logger.LogAttrs(ctx, slog.LevelWarn, "job failed and is tried again", append(attrs, slog.Any("error", err))...)
	if job.Attempt >= recordedFailures {
		return river.JobSnooze(lastRetry)
	}
	return err
}

// shielded turns a panic into an error: River would count it against the job's
// last attempt.
func shielded(ctx context.Context, inner func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("job panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return inner(ctx)
}
