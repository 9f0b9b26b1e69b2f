package commands

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/g4fagent/g4fagent/domain/session"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/failpoint"
	"github.com/g4fagent/g4fagent/internal/ident"
)

// ErrSuperseded tells an executor that the run has ended or another attempt has
// it: what it does from now on is for nothing.
var ErrSuperseded = session.ErrSuperseded

// Execution is one attempt at a run. What it reports is refused as soon as the
// run has ended or another attempt has begun. It is not safe for concurrent use.
type Execution struct {
	h       *Handlers
	run     eventschema.RunRequested
	asked   int64 // the revision of the request
	attempt int
	step    int
	// MessageID is the id that the answer of the present step will have.
	MessageID string
}

// Execute begins an attempt at a run that requested, its run.requested, asks for.
// It fails with ErrSuperseded when the run has ended, or is about to since its
// project was deleted.
func (h *Handlers) Execute(ctx context.Context, requested eventlog.Record, node string) (*Execution, error) {
	ev, err := eventschema.All.Decode(requested.Stored, h.vault)
	if err != nil {
		return nil, err
	}
	run, ok := ev.(eventschema.RunRequested)
	if !ok {
		return nil, fmt.Errorf("%s at %d asks for no run", requested.Stream, requested.Revision)
	}
	if _, err := h.journal(ctx, "StartAttempt", run.SessionID); session.ErrNotFound.Is(err) {
		return nil, ErrSuperseded // nobody is asked, and paid, for what nobody may see
	} else if err != nil {
		return nil, err
	}
	x := &Execution{h: h, run: run, asked: requested.Revision}
	receipt, err := x.decide(ctx, "StartAttempt", func(s session.State) ([]eventschema.SessionEvent, error) {
		return s.StartAttempt(eventschema.RunAttemptStarted{SessionID: run.SessionID, RunID: run.RunID, Node: node})
	})
	if err != nil {
		return nil, err
	}
	started, ok := first[eventschema.RunAttemptStarted](receipt)
	if !ok {
		return nil, fmt.Errorf("attempt at %s was not started", run.RunID)
	}
	x.attempt = started.Attempt
	return x, nil
}

// Run is what was asked for.
func (x *Execution) Run() eventschema.RunRequested { return x.run }

// Attempt counts the attempts, from 1.
func (x *Execution) Attempt() int { return x.attempt }

// Conversation hands the session's messages up to the request to visit, newest
// first, until visit says that it has enough.
func (x *Execution) Conversation(ctx context.Context, visit func(eventschema.MessagePosted) (more bool)) error {
	for from := x.asked; from >= 0; {
		page, err := x.h.log.ReadBack(ctx, sessionStream(x.run.SessionID), from, pageSize)
		if err != nil {
			return err
		}
		for _, r := range page {
			from = r.Revision - 1
			if r.Stored.Name != (eventschema.MessagePosted{}).EventName() {
				continue
			}
			ev, err := eventschema.All.Decode(r.Stored, x.h.vault)
			if err != nil {
				return fmt.Errorf("read %s at %d: %w", r.Stream, r.Revision, err)
			}
			if m, ok := ev.(eventschema.MessagePosted); ok && !visit(m) {
				return nil
			}
		}
		if len(page) < pageSize {
			return nil
		}
	}
	return nil
}

// Ask records that the provider is about to be asked. The request is kept as a
// keyed hash.
func (x *Execution) Ask(ctx context.Context, request []byte) error {
	id, err := ident.New("msg")
	if err != nil {
		return err
	}
	e := eventschema.RunStepRequested{
		SessionID: x.run.SessionID, RunID: x.run.RunID, Attempt: x.attempt, Step: x.step + 1,
		MessageID: ident.Within(x.h.vault.HMAC, x.run.SessionID, id), Digest: x.h.hash("step", request),
	}
	if _, err := x.decide(ctx, "AskProvider", x.proceed(e)); err != nil {
		return err
	}
	x.step, x.MessageID = e.Step, e.MessageID
	return nil
}

// Output records a piece of the answer.
func (x *Execution) Output(ctx context.Context, text string) error {
	_, err := x.decide(ctx, "AppendOutput", x.proceed(eventschema.RunOutputAppended{
		SessionID: x.run.SessionID, ProjectID: x.run.ProjectID, RunID: x.run.RunID,
		Attempt: x.attempt, Step: x.step, MessageID: x.MessageID, Text: text,
	}))
	failpoint.Hit(failpoint.Streaming)
	return err
}

// summaryRunes bounds the summary of an answer.
const summaryRunes = 2000

// Complete ends the run with an answer: last, the piece not recorded yet, the
// assistant's message and the terminal event are one append.
func (x *Execution) Complete(ctx context.Context, last, answer string, usage eventschema.Usage) error {
	content, err := json.Marshal([]map[string]string{{"type": "text", "text": answer}})
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	var events []eventschema.SessionEvent
	if last != "" {
		events = append(events, eventschema.RunOutputAppended{
			SessionID: x.run.SessionID, ProjectID: x.run.ProjectID, RunID: x.run.RunID,
			Attempt: x.attempt, Step: x.step, MessageID: x.MessageID, Text: last,
		})
	}
	events = append(events,
		eventschema.MessagePosted{
			SessionID: x.run.SessionID, ProjectID: x.run.ProjectID, MessageID: x.MessageID, RunID: x.run.RunID,
			Role: "assistant", Content: content, Meta: json.RawMessage(`{}`),
		},
		eventschema.RunCompleted{
			SessionID: x.run.SessionID, ProjectID: x.run.ProjectID, RunID: x.run.RunID, MessageID: x.MessageID,
			Summary: truncate(answer, summaryRunes), Usage: usage,
		},
	)
	failpoint.Hit(failpoint.Answering)
	_, err = x.decide(ctx, "CompleteRun", x.proceed(events...))
	return err
}

// Fail ends the run without an answer. The message is for people and must hold
// no secret.
func (x *Execution) Fail(ctx context.Context, code, message string) error {
	_, err := x.decide(ctx, "FailRun", x.proceed(
		eventschema.RunErrored{SessionID: x.run.SessionID, RunID: x.run.RunID, Code: code, Message: message},
		eventschema.RunFailed{SessionID: x.run.SessionID, ProjectID: x.run.ProjectID, RunID: x.run.RunID, Code: code},
	))
	return err
}

func (x *Execution) proceed(events ...eventschema.SessionEvent) func(session.State) ([]eventschema.SessionEvent, error) {
	return func(s session.State) ([]eventschema.SessionEvent, error) {
		return s.Continue(x.run.RunID, x.attempt, events...)
	}
}

func (x *Execution) decide(ctx context.Context, command string, decision func(session.State) ([]eventschema.SessionEvent, error)) (Receipt, error) {
	t := target{command: command, stream: sessionStream(x.run.SessionID), project: x.run.ProjectID}
	return decide(withoutKey(ctx), x.h, t, decision)
}

func truncate(s string, runes int) string {
	n := 0
	for i := range s {
		if n == runes {
			return s[:i]
		}
		n++
	}
	return s
}
