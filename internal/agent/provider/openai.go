package provider

import (
	"encoding/json"
	"iter"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/tidwall/gjson"
)

// openAI speaks chat completions.
type openAI struct {
	completions openai.ChatCompletionService
	models      openai.ModelService
	extra       map[string]json.RawMessage
	limitField  string
	leastTokens int64
}

// newOpenAI makes the SDK's services rather than its client: NewClient has no
// public way not to read OPENAI_API_KEY, OPENAI_BASE_URL and
// OPENAI_CUSTOM_HEADERS from the environment, and would send what it finds there
// to whatever base URL is configured.
func newOpenAI(w *wire, def Definition, extra map[string]json.RawMessage) *openAI {
	opts := []option.RequestOption{
		option.WithHTTPClient(w.http),
		option.WithBaseURL(w.base.String()),
		option.WithMaxRetries(0), // whether to ask again is the caller's
	}
	if w.key != "" {
		opts = append(opts, option.WithAPIKey(w.key))
	}
	o := &openAI{
		completions: openai.NewChatCompletionService(opts...),
		models:      openai.NewModelService(opts...),
		extra:       extra,
		limitField:  "max_tokens",
		leastTokens: 1,
	}
	if def.ID == "openai" {
		// Its reasoning models refuse max_tokens, and refuse to begin an answer that
		// has no room for a thought; others know no other name.
		o.limitField, o.leastTokens = "max_completion_tokens", 16
	}
	return o
}

func (o *openAI) testTokens() int64 { return o.leastTokens }

func (o *openAI) answer(c *call, req Request) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		params, err := o.params(req)
		if err != nil {
			yield(Chunk{}, err)
			return
		}
		stream := o.completions.NewStreaming(c.ctx, params, option.WithMiddleware(c.roundTrip))
		defer func() { _ = stream.Close() }()
		var last Chunk
		for stream.Next() {
			chunk := stream.Current()
			if chunk.JSON.Usage.Valid() {
				last.Usage = openAIUsage(chunk.Usage)
			}
			text, reason := openAIChoice(chunk)
			if reason != "" {
				last.FinishReason = reason
			}
			if text != "" && !yield(Chunk{Text: text}, nil) {
				return
			}
		}
		yield(c.concluded(last, stream.Err()))
	}
}

// openAIChoice is what a chunk adds to the answer. A refusal is one, too.
func openAIChoice(chunk openai.ChatCompletionChunk) (text, reason string) {
	for _, choice := range chunk.Choices {
		if choice.Index == 0 {
			return choice.Delta.Content + choice.Delta.Refusal, choice.FinishReason
		}
	}
	return "", ""
}

// openAIUsage includes what a request cost, which OpenRouter and others tell.
func openAIUsage(u openai.CompletionUsage) *Usage {
	usage := &Usage{InputTokens: u.PromptTokens, OutputTokens: u.CompletionTokens, Known: true}
	if cost := gjson.Get(u.RawJSON(), "cost"); cost.Type == gjson.Number {
		usage.CostUSD = &cost.Num
	}
	return usage
}

func (o *openAI) params(req Request) (openai.ChatCompletionNewParams, error) {
	t, err := tune(req, openAIParams)
	if err != nil {
		return openai.ChatCompletionNewParams{}, err
	}
	if t.limit > 0 {
		t.fields[o.limitField] = t.limit
	}
	p := openai.ChatCompletionNewParams{
		Model:         req.Model,
		Messages:      openAIMessages(req),
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
	}
	p.SetExtraFields(t.with(o.extra, param.Omit))
	return p, nil
}

func openAIMessages(req Request) []openai.ChatCompletionMessageParamUnion {
	messages := make([]openai.ChatCompletionMessageParamUnion, 0, len(req.Messages)+1)
	if req.System != "" {
		messages = append(messages, openai.SystemMessage(req.System))
	}
	for _, m := range req.Messages {
		switch {
		case m.blank():
		case m.Role == RoleSystem, m.Role == RoleDeveloper:
			messages = append(messages, openai.SystemMessage(m.Text))
		case m.Role == RoleAssistant:
			messages = append(messages, openai.AssistantMessage(m.Text))
		default:
			messages = append(messages, openai.UserMessage(m.Text))
		}
	}
	return messages
}

// list takes the body raw: the SDK's own type drops what others add to it, and
// cannot hold the bare array that some answer with.
func (o *openAI) list(c *call) ([]Model, error) {
	var body []byte
	_, err := o.models.List(c.ctx, option.WithMiddleware(c.roundTrip), option.WithResponseBodyInto(&body))
	if err != nil {
		return nil, err
	}
	root := gjson.ParseBytes(body)
	entries := root
	if root.IsObject() {
		entries = root.Get("data")
	}
	if !gjson.ValidBytes(body) || !entries.IsArray() {
		return nil, &Error{Kind: KindProtocol, Message: "the provider did not answer with a list of models"}
	}
	return describeAll(entries.Array()), nil
}
