package provider_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/g4fagent/g4fagent/internal/agent/provider"
)

func list(t *testing.T, cfg provider.Config, body string) ([]provider.Model, error) {
	t.Helper()
	cfg.BaseURL = fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/v1/models" {
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	})
	return newClient(t, cfg).Models(t.Context())
}

func TestModelsTellWhatTheProviderTells(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, id, body string
		want           []provider.Model
	}{
		{
			"OpenAI, sorted, each once", "openai",
			`{"object":"list","data":[{"id":"o3","object":"model","created":1,"owned_by":"openai"},{"id":"gpt-4o","object":"model"},{"id":"o3"},{"object":"model"}]}`,
			[]provider.Model{{ID: "gpt-4o", Label: "gpt-4o"}, {ID: "o3", Label: "o3"}},
		},
		{
			"OpenRouter", "custom",
			`{"data":[{"id":"a/b","name":"A: B","context_length":131072,"architecture":{"input_modalities":["text","image"],"output_modalities":["text"]},"pricing":{"prompt":"0.0000025"},"supported_parameters":["tools","stop"]}]}`,
			[]provider.Model{{ID: "a/b", Label: "A: B", ContextTokens: 131072, Capabilities: []string{"chat", "tools", "vision"}, Pricing: json.RawMessage(`{"prompt":"0.0000025"}`)}},
		},
		{
			"Groq and vLLM", "custom",
			`{"data":[{"id":"g","context_window":8192},{"id":"v","max_model_len":4096,"pricing":"free"}]}`,
			[]provider.Model{{ID: "g", Label: "g", ContextTokens: 8192}, {ID: "v", Label: "v", ContextTokens: 4096}},
		},
		{
			"Mistral", "custom",
			`{"data":[{"id":"m","max_context_length":32768,"capabilities":{"completion_chat":true,"function_calling":true,"vision":false}}]}`,
			[]provider.Model{{ID: "m", Label: "m", ContextTokens: 32768, Capabilities: []string{"chat", "tools"}}},
		},
		{
			"Together, a bare array", "custom",
			`[{"id":"t","type":"chat","display_name":"T","context_length":10,"pricing":{"input":1}}]`,
			[]provider.Model{{ID: "t", Label: "T", ContextTokens: 10, Capabilities: []string{"chat"}, Pricing: json.RawMessage(`{"input":1}`)}},
		},
		{
			"a list of capabilities", "ollama",
			`{"data":[{"id":"q","capabilities":["completion","tools","embedding","dancing"]}]}`,
			[]provider.Model{{ID: "q", Label: "q", Capabilities: []string{"chat", "embeddings", "tools"}}},
		},
		{
			"Anthropic", "anthropic",
			`{"data":[{"type":"model","id":"c","display_name":"C","max_input_tokens":200000,"capabilities":{"image_input":{"supported":true},"batch":{"supported":true},"pdf_input":{"supported":false}}}],"has_more":false}`,
			[]provider.Model{{ID: "c", Label: "C", ContextTokens: 200000, Capabilities: []string{"vision"}}},
		},
		{"none", "custom", `{"data":[]}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := list(t, provider.Config{ID: tt.id}, tt.body)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestListsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, id := range dialects {
		for _, body := range []string{`{}`, `{"data":{"id":"x"}}`, `"x"`, `{"data":[`, ``, `<html>`} {
			_, err := list(t, provider.Config{ID: id}, body)
			if e := fault(t, err); e.Kind != provider.KindProtocol {
				t.Errorf("%s, %s: %+v", id, body, e)
			}
		}
	}
}

func TestConfiguredModelsAreTheOffer(t *testing.T) {
	t.Parallel()
	cfg := provider.Config{ID: "custom", Models: []string{"z", "b"}}
	got, err := list(t, cfg, `{"data":[{"id":"a"},{"id":"b","context_length":5}]}`)
	want := []provider.Model{{ID: "b", Label: "b", ContextTokens: 5}, {ID: "z", Label: "z"}}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestAProviderWithoutAListIsFineWhenItsModelsAreConfigured(t *testing.T) {
	t.Parallel()
	for _, id := range dialects {
		url := fake(t, http.NotFound)
		c := newClient(t, provider.Config{ID: id, BaseURL: url, Models: []string{"m"}})
		got, err := c.Models(t.Context())
		if err != nil || len(got) != 1 || got[0].ID != "m" {
			t.Errorf("%s: got %+v, %v", id, got, err)
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("%s: ping: %v", id, err)
		}
		err = newClient(t, provider.Config{ID: id, BaseURL: url}).Ping(t.Context())
		if e := fault(t, err); e.Kind != provider.KindNotFound {
			t.Errorf("%s: got %+v", id, e)
		}
	}
}

func TestPagesOfModelsAreRead(t *testing.T) {
	t.Parallel()
	var asked []string
	url := fake(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		w.Header().Set("Content-Type", "application/json")
		n := len(asked)
		_, _ = fmt.Fprintf(w, `{"data":[{"id":"m%d"}],"has_more":true,"last_id":"m%d"}`, n, n)
	})
	got, err := newClient(t, provider.Config{ID: "anthropic", BaseURL: url}).Models(t.Context())
	if err != nil || len(got) != 5 || got[4].ID != "m5" {
		t.Errorf("got %+v, %v", got, err)
	}
	if len(asked) < 2 || asked[1] != "after_id=m1&limit=1000" {
		t.Errorf("asked %q", asked)
	}
}

func TestTestMakesTheSmallestRequest(t *testing.T) {
	t.Parallel()
	for id, bound := range map[string]string{"custom": `"max_tokens":1`, "openai": `"max_completion_tokens":16`, "anthropic": `"max_tokens":1`} {
		var body string
		url := fake(t, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			body = string(b)
			<-time.After(20 * time.Millisecond)
			sse(w, append([]string{text(id, "Hi")}, ending(id)...)...)
		})
		took, err := newClient(t, provider.Config{ID: id, BaseURL: url}).Test(t.Context(), "the-model")
		if err != nil || took < 20*time.Millisecond {
			t.Errorf("%s: %s, %v", id, took, err)
		}
		if !strings.Contains(body, bound) || !strings.Contains(body, `"model":"the-model"`) {
			t.Errorf("%s: asked %s", id, body)
		}
	}
}

func TestKnownProviders(t *testing.T) {
	t.Parallel()
	var got []string
	for _, d := range provider.Known() {
		s, err := json.Marshal(d.Supports)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.Join([]string{d.ID, d.Label, d.Type, d.BaseURL, string(d.Protocol), string(s)}, " | "))
	}
	all := `{"chat":true,"tools":true,"vision":true,"embeddings":true,"audio":true,"streaming":true}`
	want := []string{
		"openai | OpenAI | cloud | https://api.openai.com | openai | " + all,
		"anthropic | Anthropic | cloud | https://api.anthropic.com | anthropic | " + strings.NewReplacer(`"embeddings":true`, `"embeddings":false`, `"audio":true`, `"audio":false`).Replace(all),
		"ollama | Ollama | local | http://localhost:11434 | openai | " + strings.Replace(all, `"audio":true`, `"audio":false`, 1),
		"g4f | G4F Auto | proxy |  | openai | " + all,
		"custom | Custom | proxy |  | openai | " + all,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	provider.Known()[0].ID = "changed"
	if _, ok := provider.Lookup("openai"); !ok {
		t.Error("a caller changed the table")
	}
}
