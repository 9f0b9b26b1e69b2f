package provider

import (
	"encoding/json"
	"iter"
	"strings"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/anthropics/anthropic-sdk-go/packages/param"
	"github.com/tidwall/gjson"
)

// defaultMaxTokens bounds answers for which nobody else does: the protocol has no
// default, and every model takes this one.
const defaultMaxTokens = 4096

// maxPages bounds how many pages of a thousand models are read.
const maxPages = 5

// anthropicDialect speaks messages.
type anthropicDialect struct {
	client anthropic.Client
	extra  map[string]json.RawMessage
}

func newAnthropic(w *wire, extra map[string]json.RawMessage) *anthropicDialect {
	opts := []option.RequestOption{
		option.WithoutEnvironmentDefaults(),
		option.WithoutOpenTelemetry(), // its content mode is an environment variable; tracing belongs to the HTTP client
		option.WithHTTPClient(w.http),
		option.WithBaseURL(w.base.String()),
		option.WithMaxRetries(0), // whether to ask again is the caller's
	}
	if w.key != "" {
		opts = append(opts, option.WithAPIKey(w.key))
	}
	return &anthropicDialect{client: anthropic.NewClient(opts...), extra: extra}
}

func (a *anthropicDialect) testTokens() int64 { return 1 }

func (a *anthropicDialect) answer(c *call, req Request) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		params, err := a.params(req)
		if err != nil {
			yield(Chunk{}, err)
			return
		}
		stream := a.client.Messages.NewStreaming(c.ctx, params, option.WithMiddleware(c.roundTrip))
		defer func() { _ = stream.Close() }()
		var last Chunk
		usage := anthropicUsage{}
		for stream.Next() {
			var piece Chunk
			switch event := stream.Current().AsAny().(type) {
			case anthropic.MessageStartEvent:
				piece.Usage = usage.begin(event.Message.Usage)
			case anthropic.ContentBlockDeltaEvent:
				piece.Text = event.Delta.Text
			case anthropic.MessageDeltaEvent:
				last.Usage = usage.finish(event.Usage)
				last.FinishReason = finishReason(event.Delta.StopReason)
			case anthropic.MessageStopEvent:
				c.done = true
			}
			if (piece.Text != "" || piece.Usage != nil) && !yield(piece, nil) {
				return
			}
		}
		yield(c.concluded(last, stream.Err()))
	}
}

// finishReason translates to OpenAI's words.
func finishReason(reason anthropic.StopReason) string {
	switch reason {
	case anthropic.StopReasonEndTurn, anthropic.StopReasonStopSequence:
		return FinishStop
	case anthropic.StopReasonMaxTokens:
		return FinishLength
	case anthropic.StopReasonToolUse:
		return FinishToolCalls
	case anthropic.StopReasonRefusal:
		return FinishContentFilter
	default:
		return string(reason)
	}
}

// anthropicUsage joins the counts from an answer's beginning with those from its
// end, which are cumulative and may leave the input out.
type anthropicUsage struct{ input int64 }

func (u *anthropicUsage) begin(told anthropic.Usage) *Usage {
	u.input = told.InputTokens + told.CacheCreationInputTokens + told.CacheReadInputTokens
	return &Usage{InputTokens: u.input, OutputTokens: told.OutputTokens}
}

func (u *anthropicUsage) finish(told anthropic.MessageDeltaUsage) *Usage {
	u.input = max(u.input, told.InputTokens+told.CacheCreationInputTokens+told.CacheReadInputTokens)
	return &Usage{InputTokens: u.input, OutputTokens: told.OutputTokens, Known: true}
}

func (a *anthropicDialect) params(req Request) (anthropic.MessageNewParams, error) {
	t, err := tune(req, anthropicParams)
	if err != nil {
		return anthropic.MessageNewParams{}, err
	}
	if t.limit == 0 {
		t.limit = defaultMaxTokens
	}
	if one, ok := t.fields["stop_sequences"].(json.RawMessage); ok && one[0] == '"' {
		t.fields["stop_sequences"] = []json.RawMessage{one}
	}
	p := anthropic.MessageNewParams{Model: req.Model, MaxTokens: t.limit}
	p.System, p.Messages = anthropicMessages(req)
	p.SetExtraFields(t.with(a.extra, param.Omit))
	return p, nil
}

// anthropicMessages gathers what instructs in the one place the dialect has for
// it, in order, and leaves the turns.
func anthropicMessages(req Request) ([]anthropic.TextBlockParam, []anthropic.MessageParam) {
	var system []anthropic.TextBlockParam
	if strings.TrimSpace(req.System) != "" {
		system = append(system, anthropic.TextBlockParam{Text: req.System})
	}
	turns := make([]anthropic.MessageParam, 0, len(req.Messages))
	for _, m := range req.Messages {
		switch {
		case m.blank():
		case m.Role == RoleSystem, m.Role == RoleDeveloper:
			system = append(system, anthropic.TextBlockParam{Text: m.Text})
		case m.Role == RoleAssistant:
			turns = append(turns, anthropic.NewAssistantMessage(anthropic.NewTextBlock(m.Text)))
		default:
			turns = append(turns, anthropic.NewUserMessage(anthropic.NewTextBlock(m.Text)))
		}
	}
	return system, turns
}

func (a *anthropicDialect) list(c *call) ([]Model, error) {
	page, err := a.client.Models.List(c.ctx, anthropic.ModelListParams{Limit: anthropic.Int(1000)}, option.WithMiddleware(c.roundTrip))
	var models []Model
	for read := 1; err == nil && page != nil; read++ {
		entries := gjson.Get(page.RawJSON(), "data")
		if !entries.IsArray() {
			return nil, &Error{Kind: KindProtocol, Message: "the provider did not answer with a list of models"}
		}
		models = append(models, describeAll(entries.Array())...)
		if read == maxPages {
			return models, nil
		}
		page, err = page.GetNextPage()
	}
	return models, err
}
