package eventschema

import "encoding/json"

// SessionEvent is any event of a session's stream, the journal: the session, its
// messages and its runs.
//
//sumtype:decl
type SessionEvent interface {
	Event
	ofSession()
}

type sessionEvent struct{}

func (sessionEvent) ofSession() {}

var sessionEvents = []Declaration{
	Declare[SessionCreated](1),
	Declare[SessionUpdated](1),
	Declare[SessionClosed](1),
	Declare[MessagePosted](1),
	Declare[RunRequested](1),
	Declare[RunAttemptStarted](1),
	Declare[RunStepRequested](1),
	Declare[RunOutputAppended](1, Passive()),
	Declare[RunOutputSuperseded](1),
	Declare[RunErrored](1),
	Declare[RunCompleted](1),
	Declare[RunFailed](1),
	Declare[RunCanceled](1),
}

// SessionCreated starts a journal.
type SessionCreated struct {
	sessionEvent

	SessionID  string          `json:"session_id"`
	ProjectID  string          `json:"project_id"`
	Title      string          `json:"title"`
	Status     string          `json:"status"`
	ProviderID string          `json:"provider_id"`
	ModelID    string          `json:"model_id"`
	Config     json.RawMessage `json:"config"`
	Memory     json.RawMessage `json:"memory" seal:"project" erased:"{}"`
	Tags       []string        `json:"tags"`
}

// EventName is the stored name.
func (SessionCreated) EventName() string { return "session.created" }

// SessionUpdated holds what changed; a nil field did not.
type SessionUpdated struct {
	sessionEvent

	SessionID  string          `json:"session_id"`
	ProjectID  string          `json:"project_id"`
	Title      *string         `json:"title,omitempty"`
	Status     *string         `json:"status,omitempty"`
	ProviderID *string         `json:"provider_id,omitempty"`
	ModelID    *string         `json:"model_id,omitempty"`
	Config     json.RawMessage `json:"config,omitempty"`
	Memory     json.RawMessage `json:"memory,omitempty" seal:"project" erased:"{}"`
	Tags       *[]string       `json:"tags,omitempty"`
}

// EventName is the stored name.
func (SessionUpdated) EventName() string { return "session.updated" }

// SessionClosed ends the journal: its project was deleted.
type SessionClosed struct {
	sessionEvent

	SessionID string `json:"session_id"`
	ProjectID string `json:"project_id"`
}

// EventName is the stored name.
func (SessionClosed) EventName() string { return "session.closed" }

// MessagePosted adds a message. RunID is set on what a run answered.
type MessagePosted struct {
	sessionEvent

	SessionID string          `json:"session_id"`
	ProjectID string          `json:"project_id"`
	MessageID string          `json:"message_id"`
	RunID     string          `json:"run_id,omitempty"`
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content" seal:"project" erased:"[{\"type\":\"text\",\"text\":\"[erased]\"}]"`
	Meta      json.RawMessage `json:"meta" seal:"project" erased:"{}"`
}

// EventName is the stored name.
func (MessagePosted) EventName() string { return "message.posted" }

// RunRequested asks for an answer to a message. The run's provider and model are
// the session's at that moment.
type RunRequested struct {
	sessionEvent

	SessionID  string          `json:"session_id"`
	ProjectID  string          `json:"project_id"`
	RunID      string          `json:"run_id"`
	MessageID  string          `json:"message_id"`
	Mode       string          `json:"mode"`
	Agent      json.RawMessage `json:"agent" seal:"project" erased:"{}"`
	Input      json.RawMessage `json:"input" seal:"project" erased:"{}"`
	ProviderID string          `json:"provider_id"`
	ModelID    string          `json:"model_id"`
	Config     json.RawMessage `json:"config"`
}

// EventName is the stored name.
func (RunRequested) EventName() string { return "run.requested" }

// RunAttemptStarted gives the run to one executor: what an earlier attempt
// appends from now on is refused.
type RunAttemptStarted struct {
	sessionEvent

	SessionID string `json:"session_id"`
	ProjectID string `json:"project_id"`
	RunID     string `json:"run_id"`
	Attempt   int    `json:"attempt"`
	Node      string `json:"node"`
}

// EventName is the stored name.
func (RunAttemptStarted) EventName() string { return "run.started" }

// RunStepRequested says that the provider is about to be asked. A step without
// an outcome may have been answered, and paid for, unseen.
type RunStepRequested struct {
	sessionEvent

	SessionID string `json:"session_id"`
	RunID     string `json:"run_id"`
	Attempt   int    `json:"attempt"`
	Step      int    `json:"step"`
	// MessageID is the id that the answer will have.
	MessageID string `json:"message_id"`
	// Digest is a keyed hash of the request.
	Digest string `json:"digest"`
}

// EventName is the stored name.
func (RunStepRequested) EventName() string { return "run.step_requested" }

// RunOutputAppended is a piece of the answer, in order.
type RunOutputAppended struct {
	sessionEvent

	SessionID string `json:"session_id"`
	ProjectID string `json:"project_id"`
	RunID     string `json:"run_id"`
	Attempt   int    `json:"attempt"`
	Step      int    `json:"step"`
	MessageID string `json:"message_id"`
	Text      string `json:"text" seal:"project"`
}

// EventName is the stored name.
func (RunOutputAppended) EventName() string { return "run.output_appended" }

// RunOutputSuperseded takes back the unfinished answer of a step that is about
// to be asked again.
type RunOutputSuperseded struct {
	sessionEvent

	SessionID string `json:"session_id"`
	RunID     string `json:"run_id"`
	Attempt   int    `json:"attempt"`
	Step      int    `json:"step"`
	MessageID string `json:"message_id"`
}

// EventName is the stored name.
func (RunOutputSuperseded) EventName() string { return "run.output_superseded" }

// RunErrored says what went wrong, in words that hold no secret. The terminal
// event follows in the same append.
type RunErrored struct {
	sessionEvent

	SessionID string `json:"session_id"`
	RunID     string `json:"run_id"`
	Code      string `json:"code"`
	Message   string `json:"message"`
}

// EventName is the stored name.
func (RunErrored) EventName() string { return "run.errored" }

// RunCompleted ends the run with an answer.
type RunCompleted struct {
	sessionEvent

	SessionID string `json:"session_id"`
	ProjectID string `json:"project_id"`
	RunID     string `json:"run_id"`
	MessageID string `json:"message_id"`
	Summary   string `json:"summary" seal:"project"`
	Usage     Usage  `json:"usage"`
}

// Usage is what the provider said the run cost; nil is what it did not say.
type Usage struct {
	InputTokens  *int64   `json:"input_tokens,omitempty"`
	OutputTokens *int64   `json:"output_tokens,omitempty"`
	CostUSD      *float64 `json:"cost_usd,omitempty"`
}

// EventName is the stored name.
func (RunCompleted) EventName() string { return "run.completed" }

// RunFailed ends the run without an answer; RunErrored before it says why.
type RunFailed struct {
	sessionEvent

	SessionID string `json:"session_id"`
	ProjectID string `json:"project_id"`
	RunID     string `json:"run_id"`
	Code      string `json:"code"`
}

// EventName is the stored name.
func (RunFailed) EventName() string { return "run.failed" }

// RunCanceled ends the run on request.
type RunCanceled struct {
	sessionEvent

	SessionID string `json:"session_id"`
	ProjectID string `json:"project_id"`
	RunID     string `json:"run_id"`
}

// EventName is the stored name.
func (RunCanceled) EventName() string { return "run.canceled" }
