package provider

import (
	"context"
	"iter"
	"slices"
	"strings"
	"time"
)

// dialect is a protocol over an SDK. Its errors are explained by the client.
type dialect interface {
	// answer yields the answer's text and, when the provider tells it ahead, usage;
	// then one chunk with a finish reason and what is known of usage.
	answer(c *call, req Request) iter.Seq2[Chunk, error]
	// list asks for the provider's models.
	list(c *call) ([]Model, error)
	// testTokens is the smallest bound on an answer that every model takes.
	testTokens() int64
}

// client is what the dialects share.
type client struct {
	wire    *wire
	dialect dialect
	offered []string
}

// Stream implements Client.
func (c *client) Stream(ctx context.Context, req Request) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		if err := req.check(); err != nil {
			yield(Chunk{}, err)
			return
		}
		call := c.wire.begin(ctx, true)
		defer call.end()
		length := 0
		for chunk, err := range c.dialect.answer(call, req) {
			if length += len(chunk.Text); err == nil && length > answerLimit {
				err = tooMuch()
			}
			if err != nil {
				yield(Chunk{}, call.explain(err))
				return
			}
			if !yield(chunk, nil) {
				return
			}
		}
	}
}

func (r Request) check() error {
	if r.Model == "" {
		return invalid("no model is chosen")
	}
	if !slices.ContainsFunc(r.Messages, func(m Message) bool { return !m.blank() }) {
		return invalid("there is no message to answer")
	}
	return nil
}

func (m Message) blank() bool { return strings.TrimSpace(m.Text) == "" }

// concluded is the last chunk of an answer whose stream ended with err. Once a
// finish reason was read the answer is whole, whatever happens to the connection
// afterwards; only usage may be missing.
func (c *call) concluded(last Chunk, err error) (Chunk, error) {
	switch {
	case c.ctx.Err() != nil, err != nil && last.FinishReason == "":
		return Chunk{}, orTruncated(err)
	case last.FinishReason != "":
		return last, nil
	case c.done:
		last.FinishReason = FinishUnknown
		return last, nil
	default:
		return Chunk{}, orTruncated(nil)
	}
}

func orTruncated(err error) error {
	if err != nil {
		return err
	}
	return &Error{Kind: KindNetwork, Message: "the answer ended before it was finished"}
}

// Models implements Client.
func (c *client) Models(ctx context.Context) ([]Model, error) {
	told, err := c.list(ctx)
	if err != nil {
		return nil, err
	}
	if len(c.offered) > 0 {
		told = narrow(told, c.offered)
	}
	slices.SortFunc(told, func(a, b Model) int { return strings.Compare(a.ID, b.ID) })
	return slices.CompactFunc(told, func(a, b Model) bool { return a.ID == b.ID }), nil
}

// narrow is the offered models, with what the provider told of them.
func narrow(told []Model, offered []string) []Model {
	byID := make(map[string]Model, len(told))
	for _, m := range told {
		byID[m.ID] = m
	}
	models := make([]Model, 0, len(offered))
	for _, id := range offered {
		m, ok := byID[id]
		if !ok {
			m = Model{ID: id, Label: id}
		}
		models = append(models, m)
	}
	return models
}

// Ping implements Client.
func (c *client) Ping(ctx context.Context) error {
	_, err := c.list(ctx)
	return err
}

// list asks for the models. Not having a list is allowed where an installation
// says what there is.
func (c *client) list(ctx context.Context) ([]Model, error) {
	call := c.wire.begin(ctx, false)
	defer call.end()
	models, err := c.dialect.list(call)
	if err == nil {
		return models, nil
	}
	e := call.explain(err)
	if e.Kind == KindNotFound && len(c.offered) > 0 {
		return nil, nil
	}
	return nil, e
}

// Test implements Client.
func (c *client) Test(ctx context.Context, model string) (time.Duration, error) {
	start := time.Now()
	req := Request{
		Model: model, MaxOutputTokens: c.dialect.testTokens(),
		Messages: []Message{{Role: RoleUser, Text: "Hi"}},
	}
	for _, err := range c.Stream(ctx, req) {
		if err != nil {
			return time.Since(start), err
		}
	}
	return time.Since(start), nil
}
