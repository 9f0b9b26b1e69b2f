package eventschema

// InstallationEvent is any event of the stream "installation".
//
//sumtype:decl
type InstallationEvent interface {
	Event
	ofInstallation()
}

type installationEvent struct{}

func (installationEvent) ofInstallation() {}

var installationEvents = []Declaration{
	Declare[InstallationCreated](1),
	Declare[AdminAdded](1),
	Declare[AdminRemoved](1),
}

// InstallationCreated is the log's first event. Checkpoints stand beside its id,
// so that a read model of another log is recognised.
type InstallationCreated struct {
	installationEvent

	InstallationID string `json:"installation_id"`
}

// EventName is the stored name.
func (InstallationCreated) EventName() string { return "installation.created" }

// AdminAdded counts a user among the administrators who can act.
type AdminAdded struct {
	installationEvent

	UserID string `json:"user_id"`
}

// EventName is the stored name.
func (AdminAdded) EventName() string { return "installation.admin_added" }

// AdminRemoved decides that a user is none of them any more. It precedes what
// happens to the user: the last one cannot be removed. UserRevision is that of
// the user's stream which was looked at: what ends the administrator comes after.
type AdminRemoved struct {
	installationEvent

	UserID       string `json:"user_id"`
	UserRevision int64  `json:"user_revision"`
}

// EventName is the stored name.
func (AdminRemoved) EventName() string { return "installation.admin_removed" }
