// Package live serves journals as they grow: server-sent events that resume
// where the client was, for ever, and run histories in the same words.
package live

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// Wire types of the stream. The table from stored names to these stands in the
// OpenAPI document.
const (
	typeStatus  = "status"
	typeToken   = "token"
	typeError   = "error"
	typeMessage = "message"
	typeSession = "session"
)

// Event is a journal's event as clients see it. Data is one of the document's
// schemas: a RunEvent, a Message or a SessionChange.
type Event struct {
	Type string
	TS   time.Time
	// RunID is the run that the event belongs to, or empty.
	RunID string
	Data  any
	// Terminal says that nothing of the run follows, and Last that nothing at all
	// does.
	Terminal, Last bool
}

// runEvent holds the members of all run events; each type uses some of them.
type runEvent struct {
	Type       string    `json:"type"`
	TS         api.Time  `json:"ts"`
	RunID      string    `json:"run_id"`
	Status     string    `json:"status,omitempty"`
	Progress   *float64  `json:"progress,omitempty"`
	Superseded string    `json:"superseded_message_id,omitempty"`
	MessageID  string    `json:"message_id,omitempty"`
	Text       *string   `json:"text,omitempty"`
	Error      *runError `json:"error,omitempty"`
}

type runError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type message struct {
	ID        string          `json:"id"`
	SessionID string          `json:"session_id"`
	RunID     string          `json:"run_id,omitempty"`
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	Meta      json.RawMessage `json:"meta"`
	TS        api.Time        `json:"ts"`
}

type sessionChange struct {
	SessionID  string          `json:"session_id"`
	Change     string          `json:"change"`
	Title      *string         `json:"title,omitempty"`
	Status     *string         `json:"status,omitempty"`
	ProviderID *string         `json:"provider_id,omitempty"`
	ModelID    *string         `json:"model_id,omitempty"`
	Config     json.RawMessage `json:"config,omitempty"`
	Memory     json.RawMessage `json:"memory,omitempty"`
	Tags       *[]string       `json:"tags,omitempty"`
}

// Show is a stored event in the stream's words; false for one that clients do
// not see. The revision of such an event is a gap in the ids.
func Show(r eventlog.Record, s eventschema.Sealer) (Event, bool, error) {
	ev, err := eventschema.All.Decode(r.Stored, s)
	if err != nil {
		return Event{}, false, fmt.Errorf("show %s at %d: %w", r.Stream, r.Revision, err)
	}
	e, shown := show(r.Meta.At, ev)
	e.TS = r.Meta.At
	return e, shown, nil
}

func show(at time.Time, ev eventschema.Event) (Event, bool) {
	switch e := ev.(type) {
	case eventschema.SessionCreated:
		return Event{Type: typeSession, Data: sessionChange{
			SessionID: e.SessionID, Change: "created", Title: &e.Title, Status: &e.Status, ProviderID: &e.ProviderID, ModelID: &e.ModelID,
			Config: e.Config, Memory: e.Memory, Tags: &e.Tags,
		}}, true
	case eventschema.SessionUpdated:
		return Event{Type: typeSession, Data: sessionChange{
			SessionID: e.SessionID, Change: "updated", Title: e.Title, Status: e.Status, ProviderID: e.ProviderID, ModelID: e.ModelID,
			Config: e.Config, Memory: e.Memory, Tags: e.Tags,
		}}, true
	case eventschema.SessionClosed:
		return Event{Type: typeSession, Last: true, Data: sessionChange{SessionID: e.SessionID, Change: "closed"}}, true
	case eventschema.MessagePosted:
		return Event{Type: typeMessage, RunID: e.RunID, Data: message{
			ID: e.MessageID, SessionID: e.SessionID, RunID: e.RunID, Role: e.Role, Content: e.Content, Meta: e.Meta, TS: api.Time(at),
		}}, true
	default:
		return showRun(at, ev)
	}
}

func showRun(at time.Time, ev eventschema.Event) (Event, bool) {
	switch e := ev.(type) {
	case eventschema.RunRequested:
		return status(at, e.RunID, "queued", 0), true
	case eventschema.RunAttemptStarted:
		return status(at, e.RunID, "running", runningProgress), true
	case eventschema.RunOutputSuperseded:
		p := float64(runningProgress)
		return run(runEvent{Type: typeStatus, TS: api.Time(at), RunID: e.RunID, Status: "running", Progress: &p, Superseded: e.MessageID}), true
	case eventschema.RunOutputAppended:
		return run(runEvent{Type: typeToken, TS: api.Time(at), RunID: e.RunID, MessageID: e.MessageID, Text: &e.Text}), true
	case eventschema.RunErrored:
		return run(runEvent{Type: typeError, TS: api.Time(at), RunID: e.RunID, Error: &runError{Code: e.Code, Message: e.Message}}), true
	case eventschema.RunCompleted:
		return terminal(status(at, e.RunID, "completed", 1)), true
	case eventschema.RunFailed:
		return terminal(status(at, e.RunID, "failed", 1)), true
	case eventschema.RunCanceled:
		return terminal(status(at, e.RunID, "canceled", 1)), true
	default:
		return Event{}, false
	}
}

const runningProgress = 0.05

func status(at time.Time, runID, status string, progress float64) Event {
	return run(runEvent{Type: typeStatus, TS: api.Time(at), RunID: runID, Status: status, Progress: &progress})
}

func run(e runEvent) Event { return Event{Type: e.Type, RunID: e.RunID, Data: e} }

func terminal(e Event) Event {
	e.Terminal = true
	return e
}

// envelope is the data of a frame.
type envelope struct {
	Type string   `json:"type"`
	TS   api.Time `json:"ts"`
	Data any      `json:"data"`
}

// frame is one event of the journal as its bytes in a stream.
type frame struct {
	revision int64
	runID    string
	terminal bool // nothing of the run follows
	last     bool // nothing at all follows
	// settles is where the read models have to be to show what the frame says;
	// zero for what no read model shows.
	settles eventlog.Position
	// bytes is empty for an event that clients do not see.
	bytes []byte
}

func newFrame(r eventlog.Record, s eventschema.Sealer) (frame, error) {
	f := frame{revision: r.Revision}
	e, shown, err := Show(r, s)
	if err != nil || !shown {
		return f, err
	}
	f.runID, f.terminal, f.last = e.RunID, e.Terminal, e.Last
	if !eventschema.All.Passive(r.Stored.Name) {
		f.settles = r.Position
	}
	var b bytes.Buffer
	b.Grow(len(r.Stored.Data) + 256)
	fmt.Fprintf(&b, "id: %d\nevent: %s\ndata: ", r.Revision, e.Type)
	// What clients wrote stays as it is, but for white space between the values:
	// the data is one line.
	data := json.NewEncoder(&b)
	data.SetEscapeHTML(false)
	if err := data.Encode(envelope{Type: e.Type, TS: api.Time(e.TS), Data: e.Data}); err != nil {
		return f, fmt.Errorf("encode %s at %d: %w", r.Stream, r.Revision, err)
	}
	b.WriteByte('\n')
	f.bytes = b.Bytes()
	return f, nil
}
