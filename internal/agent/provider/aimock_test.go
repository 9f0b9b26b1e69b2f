package provider_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/internal/agent/provider"
	"github.com/g4fagent/g4fagent/internal/agent/provider/aimocktest"
)

// These tests speak with a mock that nobody here wrote: where it and we understand
// the dialects differently, they fail.

// mocked are the providers as an installation would set them up for the mock.
func mocked(s *aimocktest.Server) map[string]provider.Config {
	return map[string]provider.Config{
		"openai":    {ID: "openai", BaseURL: s.URL, APIKey: "sk-mock"},
		"anthropic": {ID: "anthropic", BaseURL: s.URL, APIKey: "sk-mock"},
		"ollama":    {ID: "ollama", BaseURL: s.URL + "/v1/"},
		"g4f":       {ID: "g4f", BaseURL: s.URL + "/v1", APIKey: "sk-mock"},
		"custom":    {ID: "custom", BaseURL: s.URL + "/api/v1", APIKey: "sk-mock"}, // OpenRouter
	}
}

func TestAimockAnswers(t *testing.T) {
	t.Parallel()
	const reply = "The quick brown fox jumps over the lazy dog — größer als du denkst."
	s := aimocktest.Start(t, aimocktest.Options{Answers: []aimocktest.Answer{
		{Contains: "short", Reply: reply, FinishReason: "length", ChunkSize: 5},
		{Reply: reply, ChunkSize: 7, Usage: &aimocktest.Usage{InputTokens: 11, OutputTokens: 22, CostUSD: 0.5}},
	}})
	for name, cfg := range mocked(s) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, cfg)
			got, err := read(t, c, hello())
			if err != nil {
				t.Fatal(err)
			}
			want := answer{text: reply, chunks: got.chunks, finish: provider.FinishStop, usage: &provider.Usage{InputTokens: 11, OutputTokens: 22, Known: true}}
			if name == "custom" {
				half := 0.5
				want.usage.CostUSD = &half
			}
			if name == "anthropic" && got.usage != nil {
				want.usage.InputTokens = got.usage.InputTokens
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" {
				t.Error(diff)
			}
			if got.chunks < 5 {
				t.Errorf("%d chunks: the answer was not streamed", got.chunks)
			}
			got, err = read(t, c, provider.Request{Model: "m", Messages: []provider.Message{{Role: "user", Text: "be short"}}})
			if err != nil || got.finish != provider.FinishLength {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestAimockHearsTheWholeConversation(t *testing.T) {
	t.Parallel()
	s := aimocktest.Start(t, aimocktest.Options{})
	for name, cfg := range mocked(s) {
		s.Script(t)
		req := conversation()
		req.Params = json.RawMessage(`{"temperature":0.25,"max_tokens":99}`)
		if _, err := read(t, newClient(t, cfg), req); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var body struct {
			Model       string  `json:"model"`
			Temperature float64 `json:"temperature"`
			Messages    []struct {
				Role    string          `json:"role"`
				Content json.RawMessage `json:"content"`
			} `json:"messages"`
		}
		if err := json.Unmarshal(s.Requests(t)[0].Body, &body); err != nil {
			t.Fatal(err)
		}
		var heard []string
		for _, m := range body.Messages {
			heard = append(heard, m.Role+": "+string(m.Content))
		}
		all := strings.Join(heard, "\n")
		for _, want := range []string{"Be brief.", "Be kind.", `user: "one"`, `assistant: "two"`, `user: "three"`} {
			if !strings.Contains(all, want) {
				t.Errorf("%s: %s was not heard in\n%s", name, want, all)
			}
		}
		if body.Model != "m" || body.Temperature != 0.25 {
			t.Errorf("%s: %+v", name, body)
		}
	}
}

func TestAimockLists(t *testing.T) {
	t.Parallel()
	s := aimocktest.Start(t, aimocktest.Options{Answers: []aimocktest.Answer{{Model: "zeta"}, {Model: "alpha"}}})
	for name, cfg := range mocked(s) {
		c := newClient(t, cfg)
		models, err := c.Models(t.Context())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(models) != 2 || !strings.Contains(models[0].ID, "alpha") || !strings.Contains(models[1].ID, "zeta") {
			t.Errorf("%s: %+v", name, models)
		}
		if m := models[0]; name == "custom" && (m.ContextTokens != 128000 || m.Pricing == nil || !cmp.Equal(m.Capabilities, []string{"chat", "tools"})) {
			t.Errorf("OpenRouter's metadata: %+v", m)
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("%s: ping: %v", name, err)
		}
		if took, err := c.Test(t.Context(), "alpha"); err != nil || took <= 0 {
			t.Errorf("%s: test: %s, %v", name, took, err)
		}
	}
}

func TestAimockRefuses(t *testing.T) {
	t.Parallel()
	s := aimocktest.Start(t, aimocktest.Options{APIKeys: []string{"sk-mock"}, Answers: []aimocktest.Answer{
		{Contains: "fast", Fail: &aimocktest.Failure{Status: 429, Message: "slow down", Type: "rate_limit_error", RetryAfter: 7 * time.Second}},
		{Contains: "crash", Fail: &aimocktest.Failure{Status: 503, Message: "try later", Type: "server_error"}},
		{Contains: "break", Reply: "one two three four", ChunkSize: 4, BreakAfterChunks: 3},
	}})
	ask := func(text string) provider.Request {
		return provider.Request{Model: "m", Messages: []provider.Message{{Role: "user", Text: text}}}
	}
	for name, cfg := range mocked(s) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg.APIKey = "sk-mock"
			c := newClient(t, cfg)
			_, err := read(t, c, ask("fast"))
			if e := fault(t, err); e.Kind != provider.KindRateLimited || e.RetryAfter != 7*time.Second || !strings.Contains(e.Message, "slow down") {
				t.Errorf("a limit: %+v", e)
			}
			_, err = read(t, c, ask("crash"))
			if e := fault(t, err); e.Kind != provider.KindServer || e.Status != 503 || !e.Retryable() {
				t.Errorf("a failure: %+v", e)
			}
			got, err := read(t, c, ask("break"))
			if e := fault(t, err); e.Kind != provider.KindNetwork || !strings.HasPrefix("one two three four", got.text) || got.finish != "" {
				t.Errorf("a broken connection: after %q %+v", got.text, e)
			}
			cfg.APIKey = "sk-another-secret"
			_, err = read(t, newClient(t, cfg), ask("anything"))
			if e := fault(t, err); e.Kind != provider.KindAuth || e.Status != 401 || strings.Contains(e.Message, "another") {
				t.Errorf("a wrong key: %+v", e)
			}
		})
	}
}

func TestAimockStreamsAsItGoesAndStopsWhenItIsLeft(t *testing.T) {
	t.Parallel()
	const delay = 300 * time.Millisecond // a busy machine stalls for less
	s := aimocktest.Start(t, aimocktest.Options{Reply: strings.Repeat("word ", 1000), ChunkSize: 5, ChunkDelay: delay})
	for _, name := range []string{"openai", "anthropic"} {
		ctx, cancel := context.WithCancel(t.Context())
		var first, third time.Time
		n := 0
		for chunk, err := range newClient(t, mocked(s)[name]).Stream(ctx, hello()) {
			if err != nil {
				if e := fault(t, err); e.Kind != provider.KindCanceled {
					t.Errorf("%s: %+v", name, e)
				}
				continue
			}
			if chunk.Text == "" {
				continue
			}
			switch n++; n {
			case 1:
				first = time.Now()
			case 3:
				third = time.Now()
				cancel()
			}
		}
		cancel()
		if ended := time.Since(third); n != 3 || ended > tolerance {
			t.Errorf("%s: %d chunks, the stream ended %s after it was canceled", name, n, ended)
		}
		if gap := third.Sub(first); gap < delay {
			t.Errorf("%s: three chunks came within %s: they were held back", name, gap)
		}
	}
}

func TestAimockGoesAwayInTheMiddle(t *testing.T) {
	t.Parallel()
	s := aimocktest.Start(t, aimocktest.Options{Reply: strings.Repeat("word ", 1000), ChunkSize: 5, ChunkDelay: 10 * time.Millisecond})
	var last error
	for _, err := range newClient(t, mocked(s)["openai"]).Stream(t.Context(), hello()) {
		if last = err; err == nil {
			s.Stop()
		}
	}
	if e := fault(t, last); e.Kind != provider.KindNetwork || !e.Retryable() {
		t.Errorf("got %+v", e)
	}
}
