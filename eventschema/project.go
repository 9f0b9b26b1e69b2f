package eventschema

import "encoding/json"

// ProjectEvent is any event of a project's stream.
//
//sumtype:decl
type ProjectEvent interface {
	Event
	ofProject()
}

type projectEvent struct{}

func (projectEvent) ofProject() {}

var projectEvents = []Declaration{
	Declare[ProjectCreated](1),
	Declare[ProjectUpdated](1),
	Declare[ProjectDeleted](1),
	Declare[ProjectSessionAdded](1),
}

// ProjectCreated says that a project exists.
type ProjectCreated struct {
	projectEvent

	ProjectID   string          `json:"project_id"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Status      string          `json:"status"`
	Environment string          `json:"environment"`
	Repo        json.RawMessage `json:"repo"`
}

// EventName is the stored name.
func (ProjectCreated) EventName() string { return "project.created" }

// ProjectUpdated holds what changed; a nil field did not.
type ProjectUpdated struct {
	projectEvent

	ProjectID   string          `json:"project_id"`
	Name        *string         `json:"name,omitempty"`
	Description *string         `json:"description,omitempty"`
	Status      *string         `json:"status,omitempty"`
	Environment *string         `json:"environment,omitempty"`
	Repo        json.RawMessage `json:"repo,omitempty"`
}

// EventName is the stored name.
func (ProjectUpdated) EventName() string { return "project.updated" }

// ProjectDeleted ends the project and everything below it.
type ProjectDeleted struct {
	projectEvent

	ProjectID string `json:"project_id"`
}

// EventName is the stored name.
func (ProjectDeleted) EventName() string { return "project.deleted" }

// ProjectSessionAdded decides that a session exists. It carries the whole
// session, so that its journal can be started whatever happens after it.
type ProjectSessionAdded struct {
	projectEvent

	ProjectID string         `json:"project_id"`
	Session   SessionCreated `json:"session"`
}

// EventName is the stored name.
func (ProjectSessionAdded) EventName() string { return "project.session_added" }
