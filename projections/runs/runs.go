// Package runs is the read model behind GET /runs/{id} and a project's count of
// recent runs.
package runs

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections"
)

//go:embed schema.sql
var schema string

// Name is the projector's.
const Name = "runs_v1"

// Projector writes the table that the queries below read. The runs of a deleted
// project are not in it.
func Projector() *projections.Projector {
	return projections.New(Name, schema,
		projections.On(requested),
		projections.On(started),
		projections.On(errored),
		projections.On(completed),
		projections.On(failed),
		projections.On(canceled),
		projections.On(projectDeleted),
	)
}

func requested(b *projections.Batch, r eventlog.Record, e eventschema.RunRequested) {
	b.Exec(`insert into runs_v1 (id, session_id, project_id, status, progress, requested_at, started_at, requested,
		message_id, summary, error_code, error_message) values ($1, $2, $3, 'queued', 0, $4, $4, $5, '', '', '', '')`,
		e.RunID, e.SessionID, e.ProjectID, r.Meta.At, r.Revision)
}

func started(b *projections.Batch, r eventlog.Record, e eventschema.RunAttemptStarted) {
	b.Exec(`update runs_v1 set status = 'running', progress = 0.05, started_at = $2 where id = $1`, e.RunID, r.Meta.At)
}

func errored(b *projections.Batch, _ eventlog.Record, e eventschema.RunErrored) {
	b.Exec(`update runs_v1 set error_code = $2, error_message = $3 where id = $1`, e.RunID, e.Code, e.Message)
}

func completed(b *projections.Batch, r eventlog.Record, e eventschema.RunCompleted) {
	b.Exec(`update runs_v1 set status = 'completed', progress = 1, ended_at = $2, ended = $3, message_id = $4, summary = $5,
		input_tokens = $6, output_tokens = $7, cost_usd = $8 where id = $1`,
		e.RunID, r.Meta.At, r.Revision, e.MessageID, e.Summary, e.Usage.InputTokens, e.Usage.OutputTokens, e.Usage.CostUSD)
}

func failed(b *projections.Batch, r eventlog.Record, e eventschema.RunFailed) {
	end(b, r, e.RunID, "failed")
}

func canceled(b *projections.Batch, r eventlog.Record, e eventschema.RunCanceled) {
	end(b, r, e.RunID, "canceled")
}

func end(b *projections.Batch, r eventlog.Record, runID, status string) {
	b.Exec(`update runs_v1 set status = $2, progress = 1, ended_at = $3, ended = $4 where id = $1`, runID, status, r.Meta.At, r.Revision)
}

func projectDeleted(b *projections.Batch, _ eventlog.Record, e eventschema.ProjectDeleted) {
	b.Exec(`delete from runs_v1 where project_id = $1`, e.ProjectID)
}

// Run is one row.
type Run struct {
	ID           string
	SessionID    string
	ProjectID    string
	Status       string
	Progress     float64
	StartedAt    time.Time
	EndedAt      *time.Time
	Ended        *int64
	Requested    int64
	MessageID    string
	Summary      string
	InputTokens  *int64
	OutputTokens *int64
	CostUSD      *float64
	ErrorCode    string
	ErrorMessage string
}

// ByID returns one run, and false when there is none.
func ByID(ctx context.Context, db projections.Querier, id string) (Run, bool, error) {
	return projections.One[Run](ctx, db, "run", `select id, session_id, project_id, status, progress, started_at, ended_at, ended, requested,
		message_id, summary, input_tokens, output_tokens, cost_usd, error_code, error_message from runs_v1 where id = $1`, id)
}

// CountSince is how many runs of each project were requested after a time.
// Projects without any are left out.
func CountSince(ctx context.Context, db projections.Querier, projectIDs []string, after time.Time) (map[string]int, error) {
	rows, err := db.Query(ctx, `select project_id, count(*) from runs_v1 where project_id = any($1) and requested_at > $2 group by project_id`,
		projectIDs, after)
	if err != nil {
		return nil, fmt.Errorf("count runs: %w", err)
	}
	counts := map[string]int{}
	var id string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error { counts[id] = n; return nil }); err != nil {
		return nil, fmt.Errorf("count runs: %w", err)
	}
	return counts, nil
}
