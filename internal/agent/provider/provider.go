// Package provider asks language models for answers, over the official SDKs of
// OpenAI and Anthropic. It is machinery: it makes one request and says honestly
// how that went. When to ask, what to do with the answer and whether to ask again
// is the caller's.
package provider

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"time"
)

// Client asks one configured provider. It is safe for concurrent use. Every error
// it gives is an *Error.
type Client interface {
	// Stream asks for an answer and yields it as it arrives. The request is made
	// when the sequence is ranged over, once per range. Chunks with Text come in
	// order; the last chunk has a FinishReason, and only an answer that ended with
	// one is complete. An error is the last thing yielded. Canceling ctx, or leaving
	// the loop, aborts the HTTP request at once. The answer's length in time is
	// bounded by ctx alone.
	Stream(ctx context.Context, req Request) iter.Seq2[Chunk, error]

	// Models lists what the provider offers, sorted by ID. With Config.Models set
	// it lists exactly those, and a provider without a list of its own is no error.
	Models(ctx context.Context) ([]Model, error)

	// Ping finds out whether the provider is there and takes our credentials, by
	// asking for its list of models.
	Ping(ctx context.Context) error

	// Test makes the smallest real request to model and says how long the whole of
	// it took, also when it failed.
	Test(ctx context.Context, model string) (time.Duration, error)
}

// Config is one provider as an installation has set it up.
type Config struct {
	// ID is one of Known.
	ID string
	// BaseURL replaces the provider's usual one. In OpenAI's dialect /v1 is added
	// unless the path has a version in it (/v1, /v1beta/openai, /paas/v4); a URL
	// that ends in /chat/completions is the endpoint itself, for providers without a
	// version. In Anthropic's dialect /v1 may or may not be there. It holds no user
	// or password; the values of its query are sent along and treated as secrets.
	BaseURL string
	// APIKey may be empty, and then no credential is sent.
	APIKey string
	// Headers are sent with every request and win over the SDK's. Their values are
	// treated as secrets.
	Headers map[string]string
	// Extra is a JSON object whose fields are set in the body of every request for
	// an answer, over everything else; null takes a field out. It cannot hold
	// model, messages or stream.
	Extra json.RawMessage
	// Models, when not empty, are the models on offer.
	Models []string
	// StartTimeout bounds the wait for a response to begin, which for a local
	// provider includes loading the model. Zero is DefaultStartTimeout.
	StartTimeout time.Duration
	// IdleTimeout bounds the silence within a response. Any byte, be it a comment,
	// ends a silence; time that the caller spends with a chunk does not count. Zero
	// is DefaultIdleTimeout.
	IdleTimeout time.Duration
}

// Defaults of Config's timeouts.
const (
	DefaultStartTimeout = 5 * time.Minute
	DefaultIdleTimeout  = 60 * time.Second
)

// Request is a conversation to be answered.
type Request struct {
	Model string
	// System instructs the model ahead of the conversation.
	System   string
	Messages []Message
	// MaxOutputTokens bounds the answer. Zero leaves it to Params, then to the
	// provider; Anthropic's dialect demands a bound and gets defaultMaxTokens.
	MaxOutputTokens int64
	// Temperature, when set, wins over the one in Params.
	Temperature *float64
	// Params is a JSON object with a session's model parameters. What this package
	// knows to be one is translated to the provider's dialect: temperature, top_p,
	// top_k, max_tokens, stop, seed, penalties, response_format, reasoning_effort,
	// thinking and the like. The rest, which may be anything, is ignored, and so is
	// what the dialect does not have.
	Params json.RawMessage
}

// Roles that the dialects know. A message of any other role speaks as the user.
const (
	RoleSystem    = "system"
	RoleDeveloper = "developer"
	RoleUser      = "user"
	RoleAssistant = "assistant"
)

// Message is a turn of the conversation. Blank ones are not sent.
type Message struct {
	Role string
	Text string
}

// Chunk is a piece of an answer.
type Chunk struct {
	Text string
	// Usage is what the provider has said so far; a later one replaces an earlier.
	Usage *Usage
	// FinishReason is set on the last chunk alone.
	FinishReason string
}

// Reasons for which an answer ends, in OpenAI's words. A provider's own word
// passes through when it means none of them.
const (
	FinishStop          = "stop"
	FinishLength        = "length"
	FinishToolCalls     = "tool_calls"
	FinishContentFilter = "content_filter"
	// FinishUnknown ends an answer that was marked complete without a reason.
	FinishUnknown = "unknown"
)

// Usage is what an answer took, as the provider counts.
type Usage struct {
	// InputTokens includes what was read from and written to a prompt cache.
	InputTokens  int64
	OutputTokens int64
	// CostUSD is nil unless the provider told a price.
	CostUSD *float64
	// Known is whether the counts are the provider's last word. Counts that came at
	// the beginning of an answer which then broke off are not.
	Known bool
}

// Model is what a provider says about one of its models. Fields that it does not
// tell are zero: nothing is guessed from names.
type Model struct {
	ID    string
	Label string
	// ContextTokens is the size of the window, input and output together unless the
	// provider counts input alone.
	ContextTokens int64
	// Capabilities are among chat, tools, vision, audio, embeddings and streaming,
	// sorted.
	Capabilities []string
	// Pricing is the provider's own object, or nil.
	Pricing json.RawMessage
}

// New makes the client of one provider. The HTTP client is used as it is, except
// that redirects are never followed (a key must not be carried elsewhere); it
// should have no Timeout, which would cut answers short. The process environment
// is not consulted.
func New(cfg Config, httpClient *http.Client) (Client, error) {
	def, ok := Lookup(cfg.ID)
	if !ok {
		return nil, &Error{Kind: KindNotFound, Message: "the provider is not known"}
	}
	w, err := newWire(cfg, def, httpClient)
	if err != nil {
		return nil, err
	}
	extra, err := parseExtra(cfg.Extra)
	if err != nil {
		return nil, err
	}
	c := &client{wire: w, offered: cfg.Models}
	if def.Protocol == ProtocolAnthropic {
		c.dialect = newAnthropic(w, extra)
	} else {
		c.dialect = newOpenAI(w, def, extra)
	}
	return c, nil
}
