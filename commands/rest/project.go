package rest

import (
	"context"
	"strings"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
)

// CreateProject answers POST /projects.
func (c Commands) CreateProject(ctx context.Context, r api.CreateProjectRequestObject) (api.CreateProjectResponseObject, error) {
	receipt, err := c.Handlers.CreateProject(ctx, commands.CreateProject{
		Name: strings.TrimSpace(r.Body.Name), Description: or(r.Body.Description, ""),
		Status: or(r.Body.Status, "active"), Environment: or(r.Body.Environment, "dev"), Repo: orEmpty(r.Body.Repo),
	})
	if err != nil {
		return nil, err
	}
	c.created(ctx, receipt)
	e := wrote[eventschema.ProjectCreated](receipt)
	return api.CreateProject200JSONResponse{Project: api.Project{
		ID: e.ProjectID, Name: e.Name, Description: e.Description, Status: e.Status, Environment: e.Environment, Repo: e.Repo,
		CreatedAt: api.Time(receipt.At), UpdatedAt: api.Time(receipt.At),
	}}, nil
}

// UpdateProject answers PATCH /projects/{project_id}.
func (c Commands) UpdateProject(ctx context.Context, r api.UpdateProjectRequestObject) (api.UpdateProjectResponseObject, error) {
	seen, err := match(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	receipt, err := c.Handlers.UpdateProject(ctx, commands.UpdateProject{
		ProjectID: r.ProjectID, Name: trimmed(r.Body.Name), Description: r.Body.Description,
		Status: r.Body.Status, Environment: r.Body.Environment, Repo: r.Body.Repo, Match: seen,
	})
	if err != nil {
		return nil, err
	}
	c.changed(ctx, receipt)
	return done, nil
}

// DeleteProject answers DELETE /projects/{project_id}.
func (c Commands) DeleteProject(ctx context.Context, r api.DeleteProjectRequestObject) (api.DeleteProjectResponseObject, error) {
	receipt, err := c.Handlers.DeleteProject(ctx, commands.DeleteProject{ProjectID: r.ProjectID})
	if err != nil {
		return nil, err
	}
	c.appended(ctx, receipt)
	return done, nil
}
