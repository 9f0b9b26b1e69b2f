package commands

import (
	"context"
	"encoding/json"

	"github.com/g4fagent/g4fagent/domain/project"
	"github.com/g4fagent/g4fagent/eventschema"
)

func projectStream(id string) string { return "project-" + id }

// CreateProject starts a project.
type CreateProject struct {
	Name, Description, Status, Environment string
	Repo                                   json.RawMessage
}

// CreateProject appends project.created. The number of projects is that of the
// read model: commands that are decided at the same moment may exceed the limit
// by as many as they are.
func (h *Handlers) CreateProject(ctx context.Context, c CreateProject) (Receipt, error) {
	id, err := h.newID(ctx, "proj")
	if err != nil {
		return Receipt{}, err
	}
	count, err := h.countProjects(ctx)
	if err != nil {
		return Receipt{}, err
	}
	full := h.limits.MaxProjects > 0 && count >= h.limits.MaxProjects
	e := eventschema.ProjectCreated{
		ProjectID: id, Name: c.Name, Description: c.Description, Status: c.Status, Environment: c.Environment, Repo: c.Repo,
	}
	t := target{command: "CreateProject", stream: projectStream(id), project: id, fresh: true}
	return decide(ctx, h, t, func(s project.State) ([]eventschema.ProjectEvent, error) { return s.Create(e, full) })
}

// UpdateProject changes the fields that are not nil. Match is the revision that
// the client saw, nil for any.
type UpdateProject struct {
	ProjectID                              string
	Name, Description, Status, Environment *string
	Repo                                   json.RawMessage
	Match                                  *int64
}

// UpdateProject appends project.updated, or nothing when nothing differs.
func (h *Handlers) UpdateProject(ctx context.Context, c UpdateProject) (Receipt, error) {
	e := eventschema.ProjectUpdated{
		ProjectID: c.ProjectID, Name: c.Name, Description: c.Description, Status: c.Status, Environment: c.Environment, Repo: c.Repo,
	}
	t := target{command: "UpdateProject", stream: projectStream(c.ProjectID), project: c.ProjectID}
	return decide(ctx, h, t, func(s project.State) ([]eventschema.ProjectEvent, error) { return s.Update(e, c.Match) })
}

// DeleteProject ends a project. What is below it is closed by completion.
type DeleteProject struct {
	ProjectID string
	Match     *int64
}

// DeleteProject appends project.deleted.
func (h *Handlers) DeleteProject(ctx context.Context, c DeleteProject) (Receipt, error) {
	t := target{command: "DeleteProject", stream: projectStream(c.ProjectID), project: c.ProjectID}
	return decide(ctx, h, t, func(s project.State) ([]eventschema.ProjectEvent, error) {
		return s.Delete(eventschema.ProjectDeleted{ProjectID: c.ProjectID}, c.Match)
	})
}

// ProjectSessions lists the sessions that were ever added to a project, oldest
// first, as the log has them now. Whoever completes the project's deletion closes
// them.
func (h *Handlers) ProjectSessions(ctx context.Context, projectID string) ([]string, error) {
	past, err := current[project.State, eventschema.ProjectEvent](ctx, h, projectStream(projectID))
	if err != nil {
		return nil, err
	}
	return past.State.Sessions.IDs(), nil
}
