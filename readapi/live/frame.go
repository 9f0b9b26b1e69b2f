// Package live serves journals as they grow: server-sent events that resume
// where the client was, for ever, and run histories in the same words.
package live

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

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

// Event is a journal's event as clients see it.
type Event struct {
	Type string    `json:"type"`
	TS   time.Time `json:"ts"`

	RunID string `json:"run_id,omitempty"`
	// Status and Progress are a run's, on status events.
	Status   string   `json:"status,omitempty"`
	Progress *float64 `json:"progress,omitempty"`
	// Text is a piece of the message's text, on token events. Superseded takes
	// back every piece of the message so far: the answer is asked for again.
	MessageID  string  `json:"message_id,omitempty"`
	Text       *string `json:"text,omitempty"`
	Superseded bool    `json:"superseded,omitempty"`
	Error      *Error  `json:"error,omitempty"`
	// Message and Session are on events of those types.
	Message *Message `json:"message,omitempty"`
	Session *Session `json:"session,omitempty"`

	// terminal says that nothing of the run follows.
	terminal bool
}

// Terminal reports whether the event ends its run.
func (e Event) Terminal() bool { return e.terminal }

// Error is why a run failed.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Message is a message as it was posted.
type Message struct {
	ID        string          `json:"id"`
	SessionID string          `json:"session_id"`
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	Meta      json.RawMessage `json:"meta"`
	TS        time.Time       `json:"ts"`
}

// Session is what changed of the session; a field that is left out did not.
type Session struct {
	ID         string          `json:"id"`
	Title      *string         `json:"title,omitempty"`
	Status     *string         `json:"status,omitempty"`
	ProviderID *string         `json:"provider_id,omitempty"`
	ModelID    *string         `json:"model_id,omitempty"`
	Config     json.RawMessage `json:"config,omitempty"`
	Memory     json.RawMessage `json:"memory,omitempty"`
	Tags       *[]string       `json:"tags,omitempty"`
	Closed     bool            `json:"closed,omitempty"`
}

// Show is a stored event in the stream's words; false for one that clients do
// not see. The revision of such an event is a gap in the ids.
func Show(r eventlog.Record, s eventschema.Sealer) (Event, bool, error) {
	ev, err := eventschema.All.Decode(r.Stored, s)
	if err != nil {
		return Event{}, false, fmt.Errorf("show %s at %d: %w", r.Stream, r.Revision, err)
	}
	e, shown := show(r, ev)
	e.TS = r.Meta.At
	return e, shown, nil
}

func show(r eventlog.Record, ev eventschema.Event) (Event, bool) {
	switch e := ev.(type) {
	case eventschema.SessionCreated:
		return Event{Type: typeSession, Session: &Session{
			ID: e.SessionID, Title: &e.Title, Status: &e.Status, ProviderID: &e.ProviderID, ModelID: &e.ModelID,
			Config: e.Config, Memory: e.Memory, Tags: &e.Tags,
		}}, true
	case eventschema.SessionUpdated:
		return Event{Type: typeSession, Session: &Session{
			ID: e.SessionID, Title: e.Title, Status: e.Status, ProviderID: e.ProviderID, ModelID: e.ModelID,
			Config: e.Config, Memory: e.Memory, Tags: e.Tags,
		}}, true
	case eventschema.SessionClosed:
		return Event{Type: typeSession, Session: &Session{ID: e.SessionID, Closed: true}}, true
	case eventschema.MessagePosted:
		return Event{Type: typeMessage, RunID: e.RunID, MessageID: e.MessageID, Message: &Message{
			ID: e.MessageID, SessionID: e.SessionID, Role: e.Role, Content: e.Content, Meta: e.Meta, TS: r.Meta.At,
		}}, true
	default:
		return showRun(ev)
	}
}

func showRun(ev eventschema.Event) (Event, bool) {
	switch e := ev.(type) {
	case eventschema.RunRequested:
		return status(e.RunID, "queued", 0, false), true
	case eventschema.RunAttemptStarted:
		return status(e.RunID, "running", 0.05, false), true
	case eventschema.RunOutputAppended:
		return Event{Type: typeToken, RunID: e.RunID, MessageID: e.MessageID, Text: &e.Text}, true
	case eventschema.RunOutputSuperseded:
		empty := ""
		return Event{Type: typeToken, RunID: e.RunID, MessageID: e.MessageID, Text: &empty, Superseded: true}, true
	case eventschema.RunErrored:
		return Event{Type: typeError, RunID: e.RunID, Error: &Error{Code: e.Code, Message: e.Message}}, true
	case eventschema.RunCompleted:
		return status(e.RunID, "completed", 1, true), true
	case eventschema.RunFailed:
		return status(e.RunID, "failed", 1, true), true
	case eventschema.RunCanceled:
		return status(e.RunID, "canceled", 1, true), true
	default:
		return Event{}, false
	}
}

func status(runID, status string, progress float64, terminal bool) Event {
	return Event{Type: typeStatus, RunID: runID, Status: status, Progress: &progress, terminal: terminal}
}

// envelope is the data of a frame.
type envelope struct {
	Type string    `json:"type"`
	TS   time.Time `json:"ts"`
	Data Event     `json:"data"`
}

// frame is one event of the journal, encoded once for all who follow it.
type frame struct {
	revision int64
	runID    string
	terminal bool
	// bytes is empty for an event that clients do not see.
	bytes []byte
}

func newFrame(r eventlog.Record, s eventschema.Sealer) (frame, error) {
	f := frame{revision: r.Revision}
	e, shown, err := Show(r, s)
	if err != nil || !shown {
		return f, err
	}
	data, err := json.Marshal(envelope{Type: e.Type, TS: e.TS, Data: e})
	if err != nil {
		return f, fmt.Errorf("encode %s at %d: %w", r.Stream, r.Revision, err)
	}
	f.runID, f.terminal = e.RunID, e.terminal
	f.bytes = make([]byte, 0, len(data)+64)
	f.bytes = append(f.bytes, "id: "...)
	f.bytes = strconv.AppendInt(f.bytes, r.Revision, 10)
	f.bytes = append(f.bytes, "\nevent: "...)
	f.bytes = append(f.bytes, e.Type...)
	f.bytes = append(f.bytes, "\ndata: "...)
	f.bytes = append(f.bytes, data...)
	f.bytes = append(f.bytes, "\n\n"...)
	return f, nil
}
