package reactors

import (
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// The queues. Completions are short and must not wait behind runs.
const (
	queueCompletions = "completions"
	queueRuns        = "runs"
)

// cause is a job's arguments: the event that asks for it. All that the job needs
// to know is in the log, and stays there; the project is for taking turns.
type cause struct {
	Stream    string `json:"stream"`
	Revision  int64  `json:"revision"`
	ProjectID string `json:"project_id,omitempty"`
}

func (c cause) event() cause   { return c }
func (c cause) String() string { return fmt.Sprintf("%s@%d", c.Stream, c.Revision) }

func causeOf(r eventlog.Record, projectID string) cause {
	return cause{Stream: r.Stream, Revision: r.Revision, ProjectID: projectID}
}

// The kinds of jobs. Their names are stored, and never change once released.
type (
	// startJournal completes project.session_added.
	startJournal struct{ cause }
	// startUser completes reservation.email_taken.
	startUser struct{ cause }
	// releaseEmail completes user.deleted.
	releaseEmail struct{ cause }
	// countAdmin completes what made a user an administrator, or ended that.
	countAdmin struct{ cause }
	// recountAdmin looks again at who was removed from the administrators, in case
	// the change that it was for never came.
	recountAdmin struct{ cause }
	// closeSessions completes project.deleted.
	closeSessions struct{ cause }
	// executeRun does what run.requested asks for.
	executeRun struct{ cause }
)

func (startJournal) Kind() string  { return "start_journal" }
func (startUser) Kind() string     { return "start_user" }
func (releaseEmail) Kind() string  { return "release_email" }
func (countAdmin) Kind() string    { return "count_admin" }
func (recountAdmin) Kind() string  { return "recount_admin" }
func (closeSessions) Kind() string { return "close_sessions" }
func (executeRun) Kind() string    { return "execute_run" }

func (startJournal) InsertOpts() river.InsertOpts { return insertOpts(queueCompletions) }
func (startUser) InsertOpts() river.InsertOpts    { return insertOpts(queueCompletions) }
func (releaseEmail) InsertOpts() river.InsertOpts { return insertOpts(queueCompletions) }
func (countAdmin) InsertOpts() river.InsertOpts   { return insertOpts(queueCompletions) }
func (recountAdmin) InsertOpts() river.InsertOpts {
	opts := insertOpts(queueCompletions)
	opts.ScheduledAt = time.Now().Add(recountAfter)
	return opts
}
func (closeSessions) InsertOpts() river.InsertOpts { return insertOpts(queueCompletions) }
func (executeRun) InsertOpts() river.InsertOpts    { return insertOpts(queueRuns) }

// recountAfter is longer than any command takes.
const recountAfter = time.Minute

// insertOpts keep an event's unfinished job the only one: a recovery beside
// running reactors inserts nothing twice.
func insertOpts(queue string) river.InsertOpts {
	return river.InsertOpts{Queue: queue, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
		rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}}}
}

func one(args river.JobArgs) []river.InsertManyParams {
	return []river.InsertManyParams{{Args: args}}
}

// all are the reactors.
func all() []reactor {
	return []reactor{
		newReactor("completions",
			on(func(r eventlog.Record, e eventschema.ProjectSessionAdded) []river.InsertManyParams {
				return one(startJournal{causeOf(r, e.ProjectID)})
			}),
			on(func(r eventlog.Record, _ eventschema.EmailReserved) []river.InsertManyParams {
				return one(startUser{causeOf(r, "")})
			}),
			on(func(r eventlog.Record, e eventschema.UserDeleted) []river.InsertManyParams {
				jobs := one(countAdmin{causeOf(r, "")})
				if e.EmailHash != "" { // a service account has no address
					jobs = append(jobs, one(releaseEmail{causeOf(r, "")})...)
				}
				return jobs
			}),
			on(func(r eventlog.Record, e eventschema.UserCreated) []river.InsertManyParams {
				if !slices.Contains(e.Roles, commands.AdminRole) {
					return nil
				}
				return one(countAdmin{causeOf(r, "")})
			}),
			on(func(r eventlog.Record, e eventschema.UserUpdated) []river.InsertManyParams {
				if e.Roles == nil {
					return nil
				}
				return one(countAdmin{causeOf(r, "")})
			}),
			on(func(r eventlog.Record, _ eventschema.UserDisabled) []river.InsertManyParams {
				return one(countAdmin{causeOf(r, "")})
			}),
			on(func(r eventlog.Record, _ eventschema.UserEnabled) []river.InsertManyParams {
				return one(countAdmin{causeOf(r, "")})
			}),
			on(func(r eventlog.Record, _ eventschema.AdminRemoved) []river.InsertManyParams {
				return one(recountAdmin{causeOf(r, "")})
			}),
			on(func(r eventlog.Record, e eventschema.ProjectDeleted) []river.InsertManyParams {
				return one(closeSessions{causeOf(r, e.ProjectID)})
			}),
		),
		newReactor("runs",
			on(func(r eventlog.Record, e eventschema.RunRequested) []river.InsertManyParams {
				return one(executeRun{causeOf(r, e.ProjectID)})
			}),
		),
	}
}
