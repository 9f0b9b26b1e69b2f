package eventschema

import "time"

// ActivityEvent is any event of a day's activity stream: facts that belong to no
// aggregate.
//
//sumtype:decl
type ActivityEvent interface {
	Event
	ofActivity()
}

type activityEvent struct{}

func (activityEvent) ofActivity() {}

var activityEvents = []Declaration{
	Declare[LoginFailed](1),
	Declare[AccessDenied](1),
	Declare[RefusalsSummarized](1),
}

// LoginFailed says that somebody could not prove who they are. It never says
// whether the account exists.
type LoginFailed struct {
	activityEvent

	Method string `json:"method"`
	// EmailHash is a keyed hash of the address that was tried, or empty.
	EmailHash string `json:"email_hash,omitempty"`
	Code      string `json:"code"`
}

// EventName is the stored name.
func (LoginFailed) EventName() string { return "auth.login_failed" }

// AccessDenied says that an operation was refused before it was decided.
type AccessDenied struct {
	activityEvent

	Operation string `json:"operation"`
	Path      string `json:"path"`
	Code      string `json:"code"`
}

// EventName is the stored name.
func (AccessDenied) EventName() string { return "access.denied" }

// RefusalsSummarized counts the refusals that were too many to record one each.
// The counts are exact.
type RefusalsSummarized struct {
	activityEvent

	From      time.Time      `json:"from"`
	To        time.Time      `json:"to"`
	ByAddress map[string]int `json:"by_address"`
	ByCode    map[string]int `json:"by_code"`
}

// EventName is the stored name.
func (RefusalsSummarized) EventName() string { return "access.refusals_summarized" }
