package reactors

import (
	"context"
	"errors"
	"sync"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/identity"
)

// errRunOver is why an execution is canceled whose run has ended, or has been
// given to another.
var errRunOver = errors.New("the run has ended or another attempt has it")

// executeRun makes one attempt at a run. Attempts fence each other: whoever begins
// last has the run, and the journal refuses the others.
func (r *Reactors) executeRun(ctx context.Context, why eventlog.Record) error {
	run, err := sightless[eventschema.RunRequested](why)
	if err != nil {
		return err
	}
	ctx = identity.WithPrincipal(ctx, identity.Principal{UserID: identity.SystemID, Kind: identity.Agent})
	ctx, e := r.executions.open(ctx, why.Stream, run.RunID)
	defer r.executions.close(e)
	r.metrics.open.Inc()
	defer r.metrics.open.Dec()

	attempt, err := r.handlers.Execute(ctx, why, r.node)
	if err == nil {
		r.executions.begun(e, attempt.Attempt())
		err = r.executor.Execute(ctx, attempt)
	}
	if over := errors.Is(err, commands.ErrSuperseded) || errors.Is(context.Cause(ctx), errRunOver); over {
		return nil
	}
	return err
}

// executions are the runs being executed on this node. It watches the log's live
// end for what ends them.
type executions struct {
	mu  sync.Mutex
	all map[*execution]struct{}
}

type execution struct {
	stream, run string
	attempt     int // zero until it has begun
	cancel      context.CancelCauseFunc
}

// open returns a context that ends when the run does. It is opened before the
// attempt begins: whatever ends the run after that is seen.
func (x *executions) open(ctx context.Context, stream, run string) (context.Context, *execution) {
	ctx, cancel := context.WithCancelCause(ctx)
	e := &execution{stream: stream, run: run, cancel: cancel}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all[e] = struct{}{}
	return ctx, e
}

func (x *executions) begun(e *execution, attempt int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.attempt = attempt
}

func (x *executions) close(e *execution) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.all, e)
	e.cancel(nil)
}

// watch takes one record of the log's live end.
func (x *executions) watch(r eventlog.Record) {
	switch r.Stored.Name {
	case runCanceled, runFailed, runCompleted, runStarted, sessionClosed:
	default:
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for e := range x.all {
		if e.stream == r.Stream && e.endedBy(r) {
			e.cancel(errRunOver)
		}
	}
}

// The events that can end an execution.
var (
	runCanceled   = eventschema.RunCanceled{}.EventName()
	runFailed     = eventschema.RunFailed{}.EventName()
	runCompleted  = eventschema.RunCompleted{}.EventName()
	runStarted    = eventschema.RunAttemptStarted{}.EventName()
	sessionClosed = eventschema.SessionClosed{}.EventName()
)

// endedBy reports whether r ends the execution. An event that cannot be read ends
// nothing: the journal refuses the next append all the same.
func (e *execution) endedBy(r eventlog.Record) bool {
	ev, err := eventschema.All.Decode(r.Stored, blind{})
	if err != nil {
		return false
	}
	switch ev := ev.(type) {
	case eventschema.SessionClosed:
		return true
	case eventschema.RunCanceled:
		return ev.RunID == e.run
	case eventschema.RunFailed:
		return ev.RunID == e.run
	case eventschema.RunCompleted:
		return ev.RunID == e.run
	case eventschema.RunAttemptStarted:
		return ev.RunID == e.run && e.attempt > 0 && ev.Attempt > e.attempt
	default:
		return false
	}
}
