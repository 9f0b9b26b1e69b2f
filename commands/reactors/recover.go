package reactors

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

const (
	recoveryPage = 1000
	// insertChunk bounds the jobs of one statement.
	insertChunk = 1000
)

// Recovery is what Recover found and did.
type Recovery struct {
	// Position is up to where the log was read.
	Position eventlog.Position
	// Jobs are the jobs inserted, by kind. Those that were still in the queue are
	// not among them.
	Jobs map[string]int
}

// Recover makes the jobs anew when the queue's tables were lost: it folds the
// whole log to what was begun and has no outcome, inserts jobs for just that, and
// moves every checkpoint to where it read. It may be called while the reactors
// run.
func (r *Reactors) Recover(ctx context.Context) (Recovery, error) {
	if err := r.setUp(ctx); err != nil {
		return Recovery{}, err
	}
	if _, err := r.check(ctx); err != nil {
		return Recovery{}, err
	}
	return r.recover(ctx)
}

func (r *Reactors) recover(ctx context.Context) (Recovery, error) {
	b := newBook()
	var at eventlog.Position
	for more := true; more; {
		page, next, onwards, err := r.log.ReadAll(ctx, at, recoveryPage)
		if err != nil {
			return Recovery{}, err
		}
		for _, record := range page {
			if err := b.enter(record); err != nil {
				return Recovery{}, err
			}
		}
		at, more = next, onwards
	}
	done := Recovery{Position: at, Jobs: map[string]int{}}
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		if err := r.place(ctx, tx, at); err != nil {
			return err
		}
		for jobs := range slices.Chunk(b.unfinished(), insertChunk) {
			results, err := r.inserter.InsertManyTx(ctx, tx, jobs)
			if err != nil {
				return fmt.Errorf("insert jobs: %w", err)
			}
			for _, each := range results {
				if !each.UniqueSkippedAsDuplicate {
					done.Jobs[each.Job.Kind]++
				}
			}
		}
		return nil
	})
	if err != nil {
		return Recovery{}, fmt.Errorf("recover jobs: %w", err)
	}
	return done, nil
}

// place moves every reactor's checkpoint forward to a position.
func (r *Reactors) place(ctx context.Context, tx pgx.Tx, at eventlog.Position) error {
	for _, f := range r.followers {
		_, err := tx.Exec(ctx, `
			insert into river.reactor_checkpoint as c (name, commit_position, prepare_position, installation_id) values ($1, $2, $3, $4)
			on conflict (name) do update
			   set commit_position = excluded.commit_position, prepare_position = excluded.prepare_position
			 where (c.commit_position, c.prepare_position) < (excluded.commit_position, excluded.prepare_position)`,
			f.name, int64(at.Commit), int64(at.Prepare), r.installation)
		if err != nil {
			return fmt.Errorf("place the checkpoint of %s: %w", f.name, err)
		}
	}
	return nil
}

// book holds what the log has begun and not brought to an end, by what it is
// about. It is as large as what is open and who has an account, not as the log.
type book struct {
	journals map[string]startJournal  // by session
	users    map[string]startUser     // by user
	emails   map[string]releaseEmail  // by user
	accounts map[string]*account      // by user
	runs     map[string]waitingRun    // by run
	deleted  map[string]closeSessions // by project
	open     map[string]int           // sessions not closed, by project
}

func newBook() *book {
	return &book{
		journals: map[string]startJournal{}, users: map[string]startUser{}, emails: map[string]releaseEmail{},
		accounts: map[string]*account{}, runs: map[string]waitingRun{}, deleted: map[string]closeSessions{}, open: map[string]int{},
	}
}

// concerned are the events that open an entry or close one.
var concerned = names(
	eventschema.ProjectSessionAdded{}, eventschema.SessionCreated{}, eventschema.SessionClosed{}, eventschema.ProjectDeleted{},
	eventschema.EmailReserved{}, eventschema.UserCreated{}, eventschema.UserDeleted{}, eventschema.EmailReleased{},
	eventschema.UserUpdated{}, eventschema.UserDisabled{}, eventschema.UserEnabled{}, eventschema.AdminAdded{}, eventschema.AdminRemoved{},
	eventschema.RunRequested{}, eventschema.RunCompleted{}, eventschema.RunFailed{}, eventschema.RunCanceled{},
)

func names(events ...eventschema.Event) map[string]bool {
	set := make(map[string]bool, len(events))
	for _, e := range events {
		set[e.EventName()] = true
	}
	return set
}

// enter takes the next record of the log.
func (b *book) enter(r eventlog.Record) error {
	if !concerned[r.Stored.Name] {
		return nil
	}
	e, err := eventschema.All.Decode(r.Stored, blind{})
	if err != nil {
		return fmt.Errorf("read %s at %d: %w", r.Stream, r.Revision, err)
	}
	b.count(r, e)
	switch e := e.(type) {
	case eventschema.ProjectSessionAdded:
		b.journals[e.Session.SessionID] = startJournal{causeOf(r, e.ProjectID)}
		b.open[e.ProjectID]++
	case eventschema.SessionCreated:
		delete(b.journals, e.SessionID)
	case eventschema.SessionClosed:
		b.open[e.ProjectID]--
	case eventschema.ProjectDeleted:
		b.deleted[e.ProjectID] = closeSessions{causeOf(r, e.ProjectID)}
	case eventschema.EmailReserved:
		b.users[e.User.UserID] = startUser{causeOf(r, "")}
	case eventschema.UserCreated:
		delete(b.users, e.UserID)
	case eventschema.UserDeleted:
		if e.EmailHash != "" {
			b.emails[e.UserID] = releaseEmail{causeOf(r, "")}
		}
	case eventschema.EmailReleased:
		delete(b.emails, e.UserID)
	case eventschema.RunRequested:
		b.runs[e.RunID] = waitingRun{executeRun{causeOf(r, e.ProjectID)}, r.Position}
	case eventschema.RunCompleted:
		delete(b.runs, e.RunID)
	case eventschema.RunFailed:
		delete(b.runs, e.RunID)
	case eventschema.RunCanceled:
		delete(b.runs, e.RunID)
	}
	return nil
}

// unfinished are the jobs for what is open, runs in their turns.
func (b *book) unfinished() []river.InsertManyParams {
	var jobs []river.InsertManyParams
	for _, j := range b.journals {
		jobs = append(jobs, river.InsertManyParams{Args: j})
	}
	for _, j := range b.users {
		jobs = append(jobs, river.InsertManyParams{Args: j})
	}
	for _, j := range b.emails {
		jobs = append(jobs, river.InsertManyParams{Args: j})
	}
	for _, a := range b.accounts {
		if a.administers() != a.counted {
			jobs = append(jobs, river.InsertManyParams{Args: a.job})
		}
	}
	for project, j := range b.deleted {
		if b.open[project] > 0 {
			jobs = append(jobs, river.InsertManyParams{Args: j})
		}
	}
	return append(jobs, b.waitingRuns()...)
}

// waitingRun is a run's job, and when it was asked for.
type waitingRun struct {
	executeRun

	since eventlog.Position
}

func (b *book) waitingRuns() []river.InsertManyParams {
	oldestFirst := slices.SortedFunc(maps.Values(b.runs), func(a, b waitingRun) int { return a.since.Compare(b.since) })
	jobs := make([]river.InsertManyParams, len(oldestFirst))
	before := map[string]int{}
	for i, run := range oldestFirst {
		jobs[i] = river.InsertManyParams{Args: run.executeRun, InsertOpts: &river.InsertOpts{Priority: priority(before[run.ProjectID])}}
		before[run.ProjectID]++
	}
	return jobs
}
