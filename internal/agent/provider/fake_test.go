package provider_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/agent/provider"
	"github.com/g4fagent/g4fagent/internal/dialguard"
)

// The tests that hold for both dialects run once for each of these.
var dialects = []string{"custom", "anthropic"}

// fake is a provider that says what a test tells it to.
func fake(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return srv.URL
}

func newClient(t *testing.T, cfg provider.Config) provider.Client {
	t.Helper()
	c, err := provider.New(cfg, dialguard.Client(dialguard.Policy{AllowLoopback: true}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func hello() provider.Request {
	return provider.Request{Model: "m", Messages: []provider.Message{{Role: "user", Text: "hello"}}}
}

// answer is a stream read to its end.
type answer struct {
	text   string
	chunks int
	usage  *provider.Usage
	finish string
}

func read(t *testing.T, c provider.Client, req provider.Request) (answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var a answer
	for chunk, err := range c.Stream(ctx, req) {
		if err != nil {
			return a, err
		}
		if a.finish != "" {
			t.Error("a chunk after the last")
		}
		if chunk.Text != "" {
			a.chunks++
		}
		a.text += chunk.Text
		a.finish = chunk.FinishReason
		if chunk.Usage != nil {
			a.usage = chunk.Usage
		}
	}
	return a, nil
}

// fault is err, which must be the package's own.
func fault(t *testing.T, err error) *provider.Error {
	t.Helper()
	e, ok := errors.AsType[*provider.Error](err)
	if !ok {
		t.Fatalf("got %T %v, want a *provider.Error", err, err)
	}
	return e
}

// sse writes events and flushes each. In Anthropic's dialect the name is in the
// data; it is written as the event's, too.
func sse(w http.ResponseWriter, events ...string) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	for _, e := range events {
		if _, rest, ok := strings.Cut(e, `{"type":"`); ok {
			name, _, _ := strings.Cut(rest, `"`)
			_, _ = fmt.Fprintf(w, "event: %s\n", name)
		}
		_, _ = fmt.Fprintf(w, "data: %s\n\n", e)
		w.(http.Flusher).Flush()
	}
}

func text(dialect, s string) string {
	if dialect == "anthropic" {
		return fmt.Sprintf(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%q}}`, s)
	}
	return fmt.Sprintf(`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":%q},"finish_reason":null}]}`, s)
}

// ending is what follows the text of a whole answer.
func ending(dialect string) []string {
	if dialect == "anthropic" {
		return []string{
			`{"type":"content_block_stop","index":0}`,
			`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}`,
			`{"type":"message_stop"}`,
		}
	}
	return []string{
		`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
		`[DONE]`,
	}
}
