package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
	"github.com/g4fagent/g4fagent/internal/fault"
)

var errSuperseded = fault.New(fault.Conflict, "run_superseded", "The run has ended or another attempt has it.")

// journal is a run's journal in memory. It refuses, as the real one does, what is
// said after the run's end.
type journal struct {
	run      eventschema.RunRequested
	attempt  int
	messages []eventschema.MessagePosted // oldest first
	refuse   func(what string) error     // asked before anything is recorded

	said      []string // what was recorded, in order
	at        []time.Duration
	pieces    []string
	answer    string
	usage     eventschema.Usage
	over      bool
	requested []provider.Request
	began     time.Time
}

func newJournal(texts ...string) *journal {
	j := &journal{attempt: 1, began: time.Now()}
	for i, text := range texts {
		role := "user"
		if i%2 == 1 {
			role = "assistant"
		}
		j.messages = append(j.messages, message(fmt.Sprint("m", i+1), role, text))
	}
	j.run = eventschema.RunRequested{
		RunID: "run_1", ProviderID: "openai", ModelID: "gpt", MessageID: fmt.Sprint("m", len(texts)), Config: json.RawMessage(`{}`),
		Agent: json.RawMessage(`{"instructions":"be brief"}`),
	}
	return j
}

func message(id, role, text string) eventschema.MessagePosted {
	content, err := json.Marshal([]map[string]string{{"type": "text", "text": text}})
	if err != nil {
		panic(err)
	}
	return eventschema.MessagePosted{MessageID: id, Role: role, Content: content}
}

func (j *journal) record(what string) error {
	if j.refuse != nil {
		if err := j.refuse(what); err != nil {
			return err
		}
	}
	if j.over {
		return errSuperseded
	}
	j.said, j.at = append(j.said, what), append(j.at, time.Since(j.began))
	return nil
}

func (j *journal) Run() eventschema.RunRequested { return j.run }
func (j *journal) Attempt() int                  { return j.attempt }

func (j *journal) Conversation(_ context.Context, visit func(eventschema.MessagePosted) bool) error {
	for _, m := range slices.Backward(j.messages) {
		if !visit(m) {
			return nil
		}
	}
	return nil
}

func (j *journal) Ask(_ context.Context, request []byte) error {
	var req provider.Request
	if err := json.Unmarshal(request, &req); err != nil {
		return err
	}
	j.requested = append(j.requested, req)
	return j.record("ask")
}

func (j *journal) Output(_ context.Context, text string) error {
	if err := j.record("output"); err != nil {
		return err
	}
	j.pieces = append(j.pieces, text)
	return nil
}

func (j *journal) Complete(_ context.Context, last, answer string, usage eventschema.Usage) error {
	if err := j.record("complete"); err != nil {
		return err
	}
	if last != "" {
		j.pieces = append(j.pieces, last)
	}
	j.answer, j.usage, j.over = answer, usage, true
	return nil
}

func (j *journal) Fail(_ context.Context, code, message string) error {
	if err := j.record("fail " + code); err != nil {
		return err
	}
	if message == "" {
		return errors.New("a failure without a reason")
	}
	j.over = true
	return nil
}

func (j *journal) mustHaveSaid(t *testing.T, want ...string) {
	t.Helper()
	if !reflect.DeepEqual(j.said, want) {
		t.Errorf("recorded %q, want %q", j.said, want)
	}
}

// step is what a scripted provider does next.
type step struct {
	after time.Duration
	chunk provider.Chunk
	err   *provider.Error
}

func says(text string) step { return step{chunk: provider.Chunk{Text: text}} }

func later(after time.Duration, text string) step {
	return step{after: after, chunk: provider.Chunk{Text: text}}
}

func fails(kind provider.Kind) step {
	return step{err: &provider.Error{Kind: kind, Message: string(kind)}}
}

func finishes(reason string) step {
	return step{chunk: provider.Chunk{FinishReason: reason, Usage: &provider.Usage{InputTokens: 7, OutputTokens: 3, Known: true}}}
}

var done = finishes(provider.FinishStop)

// model is a provider that answers the nth request by the nth script, and any
// further one by the last.
type model struct {
	unused
	scripts  [][]step
	requests int
	aborted  chan time.Time
}

// unused are the methods of a client that no executor calls.
type unused interface {
	Models(ctx context.Context) ([]provider.Model, error)
	Ping(ctx context.Context) error
	Test(ctx context.Context, model string) (time.Duration, error)
}

func answering(scripts ...[]step) *model {
	return &model{scripts: scripts, aborted: make(chan time.Time, 1)}
}

func (m *model) Client(context.Context, string) (provider.Client, error) { return m, nil }

func (m *model) Stream(ctx context.Context, _ provider.Request) iter.Seq2[provider.Chunk, error] {
	script := m.scripts[min(m.requests, len(m.scripts)-1)]
	m.requests++
	return func(yield func(provider.Chunk, error) bool) {
		for _, s := range script {
			select {
			case <-time.After(s.after):
			case <-ctx.Done():
				m.aborted <- time.Now()
				yield(provider.Chunk{}, &provider.Error{Kind: provider.KindCanceled, Message: "canceled"})
				return
			}
			if s.err != nil {
				yield(provider.Chunk{}, s.err)
				return
			}
			if !yield(s.chunk, nil) {
				return
			}
		}
	}
}
