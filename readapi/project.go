package readapi

import (
	"context"
	"time"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/projections/projects"
	"github.com/g4fagent/g4fagent/projections/runs"
)

// GetProject answers GET /projects/{project_id}.
func (q Reads) GetProject(ctx context.Context, r api.GetProjectRequestObject) (api.GetProjectResponseObject, error) {
	p, found, err := projects.ByID(ctx, q.DB, r.ProjectID)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errProjectNotFound
	}
	counts, err := q.recentRuns(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	setETag(ctx, p.Revision)
	return api.GetProject200JSONResponse{Project: project(p, counts)}, nil
}

// ListProjects answers GET /projects.
func (q Reads) ListProjects(ctx context.Context, r api.ListProjectsRequestObject) (api.ListProjectsResponseObject, error) {
	n := limit(r.Params.Limit)
	rows, err := projects.List(ctx, q.DB, projects.Filter{
		Name: text(r.Params.Q), Status: text(r.Params.Status), Environment: text(r.Params.Environment),
	}, cursor(r.Params.Cursor), n+1)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(rows))
	for i, p := range rows {
		ids[i] = p.ID
	}
	counts, err := q.recentRuns(ctx, ids...)
	if err != nil {
		return nil, err
	}
	items, next := page(rows, n,
		func(p projects.Project) api.Project { return project(p, counts) },
		func(p projects.Project) int64 { return p.Position })
	return api.ListProjects200JSONResponse{Items: items, NextCursor: next}, nil
}

// recentRuns counts each project's runs of the last 24 hours, by the window that
// ends now.
func (q Reads) recentRuns(ctx context.Context, ids ...string) (map[string]int, error) {
	return runs.CountSince(ctx, q.DB, ids, q.Now().Add(-24*time.Hour))
}

func project(p projects.Project, runs24h map[string]int) api.Project {
	return api.Project{
		ID: p.ID, Name: p.Name, Description: p.Description, Status: p.Status, Environment: p.Environment, Repo: p.Repo,
		Stats:     api.ProjectStats{Sessions: p.Sessions, Runs24H: runs24h[p.ID]},
		CreatedAt: api.Time(p.CreatedAt), UpdatedAt: api.Time(p.UpdatedAt),
	}
}
