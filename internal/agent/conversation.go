package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
)

const (
	// messageTokens is what a message costs beside its text.
	messageTokens = 4
	// reserveShare of the window is left free: the count is an estimate, and the
	// answer needs room.
	reserveShare = 8
)

// request is what the provider is asked: the instructions, the conversation up to
// the message that the run answers, and the session's model parameters.
func (e *Executor) request(ctx context.Context, j Journal) (provider.Request, error) {
	run := j.Run()
	settings, err := e.settings(run.Config)
	if err != nil {
		return provider.Request{}, err
	}
	req := provider.Request{
		Model: run.ModelID, System: instructions(run.Agent), Params: run.Config, MaxOutputTokens: settings.maxOutput,
	}
	c := conversation{answers: run.MessageID, budget: settings.budget() - provider.EstimateTokens(req.System)}
	if err := j.Conversation(ctx, c.visit); err != nil {
		return provider.Request{}, fmt.Errorf("read the conversation: %w", err)
	}
	if err := c.verdict(); err != nil {
		return provider.Request{}, err
	}
	slices.Reverse(c.messages)
	req.Messages = c.messages
	return req, nil
}

// conversation collects messages, newest first, until its budget of tokens is
// spent: what is left out is the oldest, without gaps.
//
// It begins with the message that the run answers. What was posted after it, and
// before the run was asked for, is not of the question: another run may answer
// it, or has answered this one before.
type conversation struct {
	answers  string
	budget   int64
	found    bool
	empty    bool
	messages []provider.Message
}

func (c *conversation) visit(m eventschema.MessagePosted) (more bool) {
	question := m.MessageID == c.answers
	if !c.found && !question {
		return true
	}
	c.found = true
	role, told := roleOf(m.Role, question)
	text := flatten(m.Content)
	if !told || strings.TrimSpace(text) == "" {
		c.empty = question
		return !question
	}
	cost := provider.EstimateTokens(text) + messageTokens
	if cost > c.budget {
		return false
	}
	c.budget -= cost
	c.messages = append(c.messages, provider.Message{Role: role, Text: text})
	return true
}

func (c *conversation) verdict() error {
	switch {
	case !c.found:
		return &failure{codeMessageNotFound, "the session has no such message"}
	case c.empty:
		return &failure{codeEmptyMessage, "the message has no text that a model can answer"}
	case len(c.messages) == 0:
		return &failure{codeContextTooLarge, "the message and the instructions do not fit the model's context"}
	default:
		return nil
	}
}

// roleOf translates a message's role, which is free text. Only the three that
// every provider knows are told; what is to be answered speaks as the user if
// need be.
func roleOf(role string, question bool) (string, bool) {
	switch role := strings.ToLower(strings.TrimSpace(role)); role {
	case provider.RoleUser, provider.RoleAssistant, provider.RoleSystem:
		return role, true
	default:
		return provider.RoleUser, question
	}
}

// instructions are those that the run was given for its agent.
func instructions(agent json.RawMessage) string {
	var a struct {
		Instructions any `json:"instructions"`
	}
	if err := json.Unmarshal(agent, &a); err != nil {
		return "" // the API takes any object
	}
	text, _ := a.Instructions.(string)
	return text
}

// settings are what a session's config says about sizes, within the server's own
// bounds.
type settings struct {
	window    int64
	maxOutput int64 // zero when nobody bounds it
}

// outputLimits all bound an answer: callers name what they know.
var outputLimits = []string{"max_tokens", "max_completion_tokens", "max_output_tokens"}

func (e *Executor) settings(config json.RawMessage) (settings, error) {
	s := settings{window: e.options.MaxContextTokens, maxOutput: e.options.MaxOutputTokens}
	if len(bytes.TrimSpace(config)) == 0 {
		return s, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(config, &fields); err != nil {
		return settings{}, &failure{codeInvalidConfig, "the session's config is not a JSON object"}
	}
	if err := lower(&s.window, fields, "max_context_tokens"); err != nil {
		return settings{}, err
	}
	for _, name := range outputLimits {
		if err := lower(&s.maxOutput, fields, name); err != nil {
			return settings{}, err
		}
	}
	return s, nil
}

// lower takes over a field's number where it is below the limit there is.
func lower(limit *int64, fields map[string]json.RawMessage, name string) error {
	raw, ok := fields[name]
	if !ok || string(raw) == "null" {
		return nil
	}
	var n int64
	if err := json.Unmarshal(raw, &n); err != nil || n < 1 {
		return &failure{codeInvalidConfig, "the session's config has a " + name + " that is not a positive integer"}
	}
	if *limit <= 0 || n < *limit {
		*limit = n
	}
	return nil
}

// budget is what the conversation may take of the window.
func (s settings) budget() int64 { return s.window - max(s.window/reserveShare, s.maxOutput) }
