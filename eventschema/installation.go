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
}

// InstallationCreated is the log's first event. Checkpoints stand beside its id,
// so that a read model of another log is recognised.
type InstallationCreated struct {
	installationEvent

	InstallationID string `json:"installation_id"`
}

// EventName is the stored name.
func (InstallationCreated) EventName() string { return "installation.created" }
