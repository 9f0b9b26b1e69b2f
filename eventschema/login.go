package eventschema

import "time"

// LoginEvent is any event of a login family: what one login became.
//
//sumtype:decl
type LoginEvent interface {
	Event
	ofLogin()
}

type loginEvent struct{}

func (loginEvent) ofLogin() {}

var loginEvents = []Declaration{
	Declare[LoginSucceeded](1),
	Declare[TokenRefreshed](1),
	Declare[TokenReuseDetected](1),
	Declare[LoggedOut](1),
}

// LoginSucceeded starts a family.
type LoginSucceeded struct {
	loginEvent

	Family string `json:"family"`
	UserID string `json:"user_id"`
	// Method is "password" or "api_key".
	Method string `json:"method"`
	// CredentialID is the API key's id, or empty.
	CredentialID string `json:"credential_id,omitempty"`
	// RefreshVerifier proves the refresh token; it is never the token.
	RefreshVerifier string    `json:"refresh_verifier" secret:"true"`
	RefreshExpires  time.Time `json:"refresh_expires"`
}

// EventName is the stored name.
func (LoginSucceeded) EventName() string { return "auth.login_succeeded" }

// TokenRefreshed consumes the family's refresh token and names its successor.
type TokenRefreshed struct {
	loginEvent

	Family          string    `json:"family"`
	UserID          string    `json:"user_id"`
	RefreshVerifier string    `json:"refresh_verifier" secret:"true"`
	RefreshExpires  time.Time `json:"refresh_expires"`
	// Replaces is the verifier of the token that was shown.
	Replaces string `json:"replaces" secret:"true"`
	// At is when the predecessor was consumed: it may be shown again for a
	// short while, since the answer that carried its successor may be lost.
	At time.Time `json:"at"`
}

// EventName is the stored name.
func (TokenRefreshed) EventName() string { return "auth.token_refreshed" }

// TokenReuseDetected ends the family: a consumed token was shown again.
type TokenReuseDetected struct {
	loginEvent

	Family string `json:"family"`
	UserID string `json:"user_id"`
}

// EventName is the stored name.
func (TokenReuseDetected) EventName() string { return "auth.token_reuse_detected" }

// LoggedOut ends the family.
type LoggedOut struct {
	loginEvent

	Family string `json:"family"`
	UserID string `json:"user_id"`
}

// EventName is the stored name.
func (LoggedOut) EventName() string { return "auth.logged_out" }
