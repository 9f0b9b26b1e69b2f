package provider_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/internal/agent/provider"
)

func TestAWholeAnswerOfOpenAIsDialect(t *testing.T) {
	t.Parallel()
	url := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, ": a comment\n\n")
		sse(w,
			`{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`,
			`{"choices":[{"index":0,"delta":{"content":"Hé"}}]}`,
			`{"choices":[{"index":0,"delta":{"content":"llo"}}]}`,
			`{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`,
			`{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9,"cost":0.00125}}`,
			`[DONE]`)
	})
	got, err := read(t, newClient(t, provider.Config{ID: "custom", BaseURL: url}), hello())
	if err != nil {
		t.Fatal(err)
	}
	cost := 0.00125
	want := answer{text: "Héllo", chunks: 2, finish: "length", usage: &provider.Usage{InputTokens: 7, OutputTokens: 2, CostUSD: &cost, Known: true}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" {
		t.Error(diff)
	}
}

func TestAWholeAnswerOfAnthropicsDialect(t *testing.T) {
	t.Parallel()
	url := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		sse(w,
			`{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"model":"m","usage":{"input_tokens":3,"cache_creation_input_tokens":10,"cache_read_input_tokens":100,"output_tokens":1}}}`,
			`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}`,
			`{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}`,
			`{"type":"ping"}`,
			text("anthropic", "Hé"), text("anthropic", "llo"),
			`{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":2}}`,
			`{"type":"message_stop"}`)
	})
	got, err := read(t, newClient(t, provider.Config{ID: "anthropic", BaseURL: url}), hello())
	if err != nil {
		t.Fatal(err)
	}
	want := answer{text: "Héllo", chunks: 2, finish: "length", usage: &provider.Usage{InputTokens: 113, OutputTokens: 2, Known: true}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" {
		t.Error(diff)
	}
}

func TestUsageOfAnAnswerThatBrokeOffIsNotKnown(t *testing.T) {
	t.Parallel()
	url := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		sse(w, `{"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}`, text("anthropic", "Hel"))
	})
	got, err := read(t, newClient(t, provider.Config{ID: "anthropic", BaseURL: url}), hello())
	if err == nil || got.text != "Hel" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if diff := cmp.Diff(&provider.Usage{InputTokens: 9, OutputTokens: 1}, got.usage); diff != "" {
		t.Error(diff)
	}
}

func TestADoneMarkerCompletesAnAnswerWithoutAReason(t *testing.T) {
	t.Parallel()
	for _, marker := range []string{"data: [DONE]\n\n", "data:[DONE]\r\n\r\n", "data: [DONE]\n"} {
		url := fake(t, func(w http.ResponseWriter, _ *http.Request) {
			sse(w, text("custom", "Hi"))
			_, _ = io.WriteString(w, marker)
		})
		got, err := read(t, newClient(t, provider.Config{ID: "custom", BaseURL: url}), hello())
		if err != nil || got.finish != provider.FinishUnknown {
			t.Errorf("%q: got %+v, %v", marker, got, err)
		}
	}
}

func TestAnAnswerIsWholeOnceItsReasonIsRead(t *testing.T) {
	t.Parallel()
	url := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		sse(w, text("custom", "Hi"), ending("custom")[0])
		panic(http.ErrAbortHandler) // the connection breaks before usage and [DONE]
	})
	got, err := read(t, newClient(t, provider.Config{ID: "custom", BaseURL: url}), hello())
	if err != nil || got.text != "Hi" || got.finish != provider.FinishStop || got.usage != nil {
		t.Fatalf("got %+v, %v", got, err)
	}
}

// sent is the body, decoded, of the one request that a stream makes.
func sent(t *testing.T, cfg provider.Config, req provider.Request) (map[string]any, *http.Request) {
	t.Helper()
	var body map[string]any
	var seen *http.Request
	cfg.BaseURL = fake(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		dec := json.NewDecoder(r.Body)
		dec.UseNumber()
		if err := dec.Decode(&body); err != nil {
			t.Errorf("the request's body: %v", err)
		}
		sse(w, append([]string{text(cfg.ID, "Hi")}, ending(cfg.ID)...)...)
	}) + strings.TrimPrefix(cfg.BaseURL, "+")
	if _, err := read(t, newClient(t, cfg), req); err != nil {
		t.Fatal(err)
	}
	return body, seen
}

func decoded(t *testing.T, raw string) map[string]any {
	t.Helper()
	var v map[string]any
	dec := json.NewDecoder(strings.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func conversation() provider.Request {
	return provider.Request{
		Model: "m", System: "Be brief.",
		Messages: []provider.Message{
			{Role: "user", Text: "one"},
			{Role: "assistant", Text: "two"},
			{Role: "system", Text: "Be kind."},
			{Role: "critic", Text: "three"},
			{Role: "user", Text: "  \n"},
		},
	}
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	tenth := 0.1
	plain := `{"model":"m","messages":[{"role":"user","content":"hello"}],"stream":true,"stream_options":{"include_usage":true}`
	tests := []struct {
		name string
		cfg  provider.Config
		req  func(*provider.Request)
		want string
	}{
		{
			name: "parameters of the session, and nothing else of its config",
			cfg:  provider.Config{ID: "custom"},
			req: func(r *provider.Request) {
				r.Params = json.RawMessage(`{"temperature":0.70,"top_p":1,"max_tokens":50,"stop":["a"],"seed":12345678901234567890,"tools":["read_file"],"ui":{"x":1},"top_k":null}`)
			},
			want: plain + `,"temperature":0.70,"top_p":1,"max_tokens":50,"stop":["a"],"seed":12345678901234567890}`,
		},
		{
			name: "the request's own bound and temperature, over the session's",
			cfg:  provider.Config{ID: "ollama"},
			req: func(r *provider.Request) {
				r.Params, r.MaxOutputTokens, r.Temperature = json.RawMessage(`{"temperature":1,"max_tokens":50}`), 9, &tenth
			},
			want: plain + `,"temperature":0.1,"max_tokens":9}`,
		},
		{
			name: "OpenAI's own name for the bound",
			cfg:  provider.Config{ID: "openai"},
			req:  func(r *provider.Request) { r.Params = json.RawMessage(`{"max_output_tokens":50}`) },
			want: plain + `,"max_completion_tokens":50}`,
		},
		{
			name: "the installation's fields, over all",
			cfg:  provider.Config{ID: "custom", Extra: json.RawMessage(`{"stream_options":null,"temperature":0.5,"provider":{"order":["a.b","c"]},"a.b|c":1e400}`)},
			req:  func(r *provider.Request) { r.Temperature = &tenth },
			want: `{"model":"m","messages":[{"role":"user","content":"hello"}],"stream":true,"temperature":0.5,"provider":{"order":["a.b","c"]},"a.b|c":1e400}`,
		},
		{
			name: "Anthropic's names, and the bound that it demands",
			cfg:  provider.Config{ID: "anthropic", Extra: json.RawMessage(`{"metadata":{"user_id":"u"}}`)},
			req: func(r *provider.Request) {
				r.Params = json.RawMessage(`{"temperature":0.7,"top_k":5,"stop":"END","seed":1,"presence_penalty":1}`)
			},
			want: `{"model":"m","max_tokens":4096,"stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"hello"}]}],
				"temperature":0.7,"top_k":5,"stop_sequences":["END"],"metadata":{"user_id":"u"}}`,
		},
		{
			name: "a conversation in OpenAI's dialect",
			cfg:  provider.Config{ID: "custom"},
			req:  func(r *provider.Request) { *r = conversation() },
			want: `{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[
				{"role":"system","content":"Be brief."},{"role":"user","content":"one"},{"role":"assistant","content":"two"},
				{"role":"system","content":"Be kind."},{"role":"user","content":"three"}]}`,
		},
		{
			name: "a conversation in Anthropic's dialect",
			cfg:  provider.Config{ID: "anthropic"},
			req:  func(r *provider.Request) { *r = conversation(); r.MaxOutputTokens = 10 },
			want: `{"model":"m","max_tokens":10,"stream":true,"system":[{"type":"text","text":"Be brief."},{"type":"text","text":"Be kind."}],"messages":[
				{"role":"user","content":[{"type":"text","text":"one"}]},{"role":"assistant","content":[{"type":"text","text":"two"}]},
				{"role":"user","content":[{"type":"text","text":"three"}]}]}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := hello()
			tt.req(&req)
			got, _ := sent(t, tt.cfg, req)
			if diff := cmp.Diff(decoded(t, tt.want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCredentialsAreSentAsConfigured(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		cfg  provider.Config
		path string
		want map[string]string // header names with values; empty is absent
	}{
		{"no key, no header", provider.Config{ID: "ollama"}, "/v1/chat/completions", map[string]string{"Authorization": "", "X-Api-Key": "", "Openai-Organization": "", "Openai-Project": ""}},
		{"a bearer token", provider.Config{ID: "openai", APIKey: " sk-test\n"}, "/v1/chat/completions", map[string]string{"Authorization": "Bearer sk-test"}},
		{"a header of the installation's wins", provider.Config{ID: "custom", APIKey: "k", Headers: map[string]string{"authorization": "Basic abc", "x-title": "g4f"}}, "/v1/chat/completions", map[string]string{"Authorization": "Basic abc", "X-Title": "g4f"}},
		{"Anthropic's key", provider.Config{ID: "anthropic", APIKey: "sk-ant"}, "/v1/messages", map[string]string{"Authorization": "", "X-Api-Key": "sk-ant", "Anthropic-Version": "2023-06-01"}},
		{"Anthropic without a key", provider.Config{ID: "anthropic"}, "/v1/messages", map[string]string{"Authorization": "", "X-Api-Key": ""}},
		{"a base URL's query", provider.Config{ID: "custom", BaseURL: "+/openai/v1?api-version=2&key=a%26b"}, "/openai/v1/chat/completions?api-version=2&key=a%26b", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, got := sent(t, tt.cfg, hello())
			if got.Method != http.MethodPost || got.URL.String() != tt.path {
				t.Errorf("%s %s, want %s", got.Method, got.URL, tt.path)
			}
			for name, want := range tt.want {
				if values := got.Header.Values(name); strings.Join(values, "|") != want {
					t.Errorf("%s: %q, want %q", name, values, want)
				}
			}
		})
	}
}

//nolint:paralleltest // it sets the environment, which is the whole process's
func TestTheEnvironmentIsNotConsulted(t *testing.T) {
	elsewhere := fake(t, func(http.ResponseWriter, *http.Request) { t.Error("the environment chose the base URL") })
	for name, value := range map[string]string{
		"OPENAI_API_KEY": "env-key", "OPENAI_ADMIN_KEY": "env-key", "OPENAI_ORG_ID": "env-org", "OPENAI_PROJECT_ID": "env-project",
		"OPENAI_BASE_URL": elsewhere, "OPENAI_CUSTOM_HEADERS": "X-Env: env-header",
		"ANTHROPIC_API_KEY": "env-key", "ANTHROPIC_AUTH_TOKEN": "env-token", "ANTHROPIC_BASE_URL": elsewhere,
		"ANTHROPIC_CUSTOM_HEADERS": "X-Env: env-header", "ANTHROPIC_PROFILE": "none-such",
		"ANTHROPIC_FEDERATION_RULE_ID": "env-rule", "ANTHROPIC_ORGANIZATION_ID": "env-org", "ANTHROPIC_IDENTITY_TOKEN": "env-token",
		"HTTP_PROXY": elsewhere, "HTTPS_PROXY": elsewhere,
	} {
		t.Setenv(name, value)
	}
	for _, id := range []string{"openai", "custom", "anthropic"} {
		for _, key := range []string{"", "configured-key"} {
			_, got := sent(t, provider.Config{ID: id, APIKey: key}, hello())
			for name, values := range got.Header {
				if strings.Contains(strings.Join(values, " "), "env-") {
					t.Errorf("%s, key %q: header %s came from the environment: %q", id, key, name, values)
				}
			}
		}
	}
}
