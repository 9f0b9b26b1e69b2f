package aimocktest

import (
	"encoding/json"
	"slices"
	"time"
)

// DefaultReply answers what nothing else does.
const DefaultReply = "Hello from aimock: nobody scripted this answer."

// Answer scripts what the mock says to requests that match. The first that
// matches wins.
type Answer struct {
	// Contains is looked for in the last message of the user. Empty matches all.
	Contains string
	// Model matches the model asked. Models named here are what the mock lists.
	Model string
	// Nth matches only the n-th request that all else matches, from 1. Zero
	// matches every one.
	Nth int

	// Reply is the text. Empty is DefaultReply.
	Reply string
	// ChunkSize is how many characters come at a time; zero is aimock's 20.
	ChunkSize int
	// ChunkDelay is the pause before each chunk, FirstDelay the one before the
	// first when it is another. Both are rounded to milliseconds.
	ChunkDelay time.Duration
	FirstDelay time.Duration
	// FinishReason is in OpenAI's words, for all dialects. Empty is stop.
	FinishReason string
	// Usage is what the mock counts; nil leaves it to the mock.
	Usage *Usage

	// Fail, when set, answers with an error instead.
	Fail *Failure

	// BreakAfterChunks and BreakAfter destroy the connection in the middle.
	BreakAfterChunks int
	BreakAfter       time.Duration
}

// Usage of one answer. The mock tells CostUSD only under its OpenRouter address,
// Server.URL + "/api/v1".
type Usage struct {
	InputTokens  int64
	OutputTokens int64
	CostUSD      float64
}

// Failure is an error response.
type Failure struct {
	Status     int
	Message    string
	Type       string
	Code       string
	RetryAfter time.Duration // whole seconds; sent with status 429 only
}

// fixture is an Answer in aimock's words.
type fixture struct {
	Match             match    `json:"match"`
	Response          response `json:"response"`
	ChunkSize         int      `json:"chunkSize,omitempty"`
	LatencyMS         int64    `json:"latency,omitempty"`
	Profile           *profile `json:"streamingProfile,omitempty"`
	TruncateAfter     int      `json:"truncateAfterChunks,omitempty"`
	DisconnectAfterMS int64    `json:"disconnectAfterMs,omitempty"`
}

type match struct {
	UserMessage   string `json:"userMessage,omitempty"`
	Model         string `json:"model,omitempty"`
	SequenceIndex *int   `json:"sequenceIndex,omitempty"`
}

type response struct {
	Content      string             `json:"content,omitempty"`
	FinishReason string             `json:"finishReason,omitempty"`
	Usage        map[string]float64 `json:"usage,omitempty"`
	Error        *failure           `json:"error,omitempty"`
	Status       int                `json:"status,omitempty"`
	RetryAfter   int64              `json:"retryAfter,omitempty"`
}

type failure struct {
	Message string `json:"message"`
	Type    string `json:"type,omitempty"`
	Code    string `json:"code,omitempty"`
}

type profile struct {
	FirstMS         int64   `json:"ttft"`
	ChunksPerSecond float64 `json:"tps,omitempty"`
}

func (a Answer) fixture() fixture {
	f := fixture{
		Match:     match{UserMessage: a.Contains, Model: a.Model},
		ChunkSize: a.ChunkSize, LatencyMS: a.ChunkDelay.Milliseconds(),
		TruncateAfter: a.BreakAfterChunks, DisconnectAfterMS: a.BreakAfter.Milliseconds(),
		Response: response{Content: a.Reply, FinishReason: a.FinishReason, Usage: a.Usage.fields()},
	}
	if a.Nth > 0 {
		index := a.Nth - 1
		f.Match.SequenceIndex = &index
	}
	if a.Reply == "" {
		f.Response.Content = DefaultReply
	}
	if a.FirstDelay > 0 {
		f.Profile = &profile{FirstMS: a.FirstDelay.Milliseconds()}
		if a.ChunkDelay > 0 {
			f.Profile.ChunksPerSecond = float64(time.Second) / float64(a.ChunkDelay)
		}
	}
	if e := a.Fail; e != nil {
		f.Response = response{
			Error:  &failure{Message: e.Message, Type: e.Type, Code: e.Code},
			Status: e.Status, RetryAfter: int64(e.RetryAfter / time.Second),
		}
	}
	return f
}

// fields are the counts under the names of each dialect.
func (u *Usage) fields() map[string]float64 {
	if u == nil {
		return nil
	}
	in, out := float64(u.InputTokens), float64(u.OutputTokens)
	fields := map[string]float64{"prompt_tokens": in, "completion_tokens": out, "input_tokens": in, "output_tokens": out}
	if u.CostUSD > 0 {
		fields["cost"] = u.CostUSD
	}
	return fields
}

// script is the file that aimock reads: the answers and what is said otherwise.
func encode(answers []Answer, otherwise Answer) ([]byte, error) {
	var file struct {
		Fixtures []fixture `json:"fixtures"`
	}
	for _, a := range append(slices.Clip(answers), otherwise) {
		file.Fixtures = append(file.Fixtures, a.fixture())
	}
	return json.Marshal(file)
}
