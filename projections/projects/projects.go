// Package projects is the read model behind GET /projects.
package projects

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections"
)

//go:embed schema.sql
var schema string

// Projector writes the table that the queries below read. A deleted project is
// not in it.
func Projector() *projections.Projector {
	return projections.New("projects_v1", schema,
		projections.On(created),
		projections.On(updated),
		projections.On(deleted),
		projections.On(sessionAdded),
	)
}

func created(b *projections.Batch, r eventlog.Record, e eventschema.ProjectCreated) {
	b.Exec(`insert into projects_v1 (id, position, revision, name, description, status, environment, repo, sessions, created_at, updated_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $9)`,
		e.ProjectID, r.Position.Commit, r.Revision, e.Name, e.Description, e.Status, e.Environment, string(e.Repo), r.Meta.At)
}

func updated(b *projections.Batch, r eventlog.Record, e eventschema.ProjectUpdated) {
	b.Exec(`update projects_v1 set revision = $2, updated_at = $3, name = coalesce($4, name), description = coalesce($5, description),
		status = coalesce($6, status), environment = coalesce($7, environment), repo = coalesce($8, repo) where id = $1`,
		e.ProjectID, r.Revision, r.Meta.At, e.Name, e.Description, e.Status, e.Environment, projections.Text(e.Repo))
}

func deleted(b *projections.Batch, _ eventlog.Record, e eventschema.ProjectDeleted) {
	b.Exec(`delete from projects_v1 where id = $1`, e.ProjectID)
}

func sessionAdded(b *projections.Batch, r eventlog.Record, e eventschema.ProjectSessionAdded) {
	b.Exec(`update projects_v1 set sessions = sessions + 1, updated_at = $2 where id = $1`, e.ProjectID, r.Meta.At)
}

// Project is one row.
type Project struct {
	ID          string
	Position    int64
	Revision    int64
	Name        string
	Description string
	Status      string
	Environment string
	Repo        json.RawMessage
	Sessions    int
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

const columns = `id, position, revision, name, description, status, environment, repo, sessions, created_at, updated_at`

// ByID returns one project, and false when there is none.
func ByID(ctx context.Context, db projections.Querier, id string) (Project, bool, error) {
	return projections.One[Project](ctx, db, "project", `select `+columns+` from projects_v1 where id = $1`, id)
}

// Filter narrows a list; an empty field does not.
type Filter struct {
	Name        string // part of the name, in any case
	Status      string // in any case
	Environment string // in any case
}

// List returns up to limit projects created after the position cursor, oldest
// first.
func List(ctx context.Context, db projections.Querier, f Filter, cursor int64, limit int) ([]Project, error) {
	return projections.Many[Project](ctx, db, "projects", `select `+columns+` from projects_v1
		where position > $1
		and ($2 = '' or strpos(lower(name), $2) > 0) and ($3 = '' or lower(status) = $3) and ($4 = '' or lower(environment) = $4)
		order by position limit $5`,
		cursor, strings.ToLower(f.Name), strings.ToLower(f.Status), strings.ToLower(f.Environment), limit)
}

// Count is how many projects there are.
func Count(ctx context.Context, db projections.Querier) (int, error) {
	rows, err := db.Query(ctx, `select count(*) from projects_v1`)
	if err != nil {
		return 0, fmt.Errorf("count projects: %w", err)
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
}
