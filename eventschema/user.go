package eventschema

// UserEvent is any event of a user's stream.
//
//sumtype:decl
type UserEvent interface {
	Event
	ofUser()
}

type userEvent struct{}

func (userEvent) ofUser() {}

var userEvents = []Declaration{
	Declare[UserCreated](1),
	Declare[UserUpdated](1),
	Declare[UserPasswordChanged](1),
	Declare[UserDisabled](1),
	Declare[UserEnabled](1),
	Declare[UserDeleted](1),
	Declare[UserAPIKeyIssued](1),
	Declare[UserAPIKeyRevoked](1),
}

// UserCreated says that an account exists. Service accounts have no e-mail
// address and no verifier: they act through API keys alone.
type UserCreated struct {
	userEvent

	UserID string `json:"user_id"`
	Name   string `json:"name" seal:"user"`
	Email  string `json:"email,omitempty" seal:"user"`
	// EmailHash is the keyed hash under which the address is reserved.
	EmailHash string   `json:"email_hash,omitempty"`
	Roles     []string `json:"roles"`
	// Verifier proves a password; it is never the password.
	Verifier string `json:"verifier,omitempty" seal:"user" secret:"true"`
}

// EventName is the stored name.
func (UserCreated) EventName() string { return "user.created" }

// UserUpdated holds what changed; a nil field did not.
type UserUpdated struct {
	userEvent

	UserID string    `json:"user_id"`
	Name   *string   `json:"name,omitempty" seal:"user"`
	Roles  *[]string `json:"roles,omitempty"`
}

// EventName is the stored name.
func (UserUpdated) EventName() string { return "user.updated" }

// UserPasswordChanged ends every login of the user.
type UserPasswordChanged struct {
	userEvent

	UserID   string `json:"user_id"`
	Verifier string `json:"verifier" seal:"user" secret:"true"`
}

// EventName is the stored name.
func (UserPasswordChanged) EventName() string { return "user.password_changed" }

// UserDisabled ends every login of the user and refuses new ones.
type UserDisabled struct {
	userEvent

	UserID string `json:"user_id"`
}

// EventName is the stored name.
func (UserDisabled) EventName() string { return "user.disabled" }

// UserEnabled allows the user to log in again.
type UserEnabled struct {
	userEvent

	UserID string `json:"user_id"`
}

// EventName is the stored name.
func (UserEnabled) EventName() string { return "user.enabled" }

// UserDeleted ends the account; nothing follows it. EmailHash names the
// reservation to release.
type UserDeleted struct {
	userEvent

	UserID    string `json:"user_id"`
	EmailHash string `json:"email_hash,omitempty"`
}

// EventName is the stored name.
func (UserDeleted) EventName() string { return "user.deleted" }

// UserAPIKeyIssued allows whoever knows the key to log in as the user.
type UserAPIKeyIssued struct {
	userEvent

	UserID string `json:"user_id"`
	KeyID  string `json:"key_id"`
	// Verifier is a keyed hash of the key.
	Verifier string `json:"verifier" secret:"true"`
}

// EventName is the stored name.
func (UserAPIKeyIssued) EventName() string { return "user.api_key_issued" }

// UserAPIKeyRevoked ends the key and every login made with it.
type UserAPIKeyRevoked struct {
	userEvent

	UserID string `json:"user_id"`
	KeyID  string `json:"key_id"`
}

// EventName is the stored name.
func (UserAPIKeyRevoked) EventName() string { return "user.api_key_revoked" }
