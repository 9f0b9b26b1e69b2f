package reactors_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
)

// model is a provider behind HTTP whose every answer the test gives by hand.
type model struct {
	server    *httptest.Server
	questions chan *question
}

// question is a request that waits for its answer. Only the request's own
// goroutine writes it: whoever asked may leave at any time.
type question struct {
	// Messages are what the model was told, as "role: text".
	Messages []string
	// Trace is the traceparent of the request.
	Trace   string
	events  chan string
	aborted <-chan struct{}
}

func newModel(t *testing.T) *model {
	t.Helper()
	m := &model{questions: make(chan *question, 64)}
	m.server = httptest.NewServer(http.HandlerFunc(m.serve))
	t.Cleanup(func() {
		m.server.CloseClientConnections()
		m.server.Close()
	})
	return m
}

func (m *model) serve(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Messages []struct{ Role, Content string }
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	q := &question{Trace: r.Header.Get("Traceparent"), events: make(chan string), aborted: r.Context().Done()}
	for _, message := range body.Messages {
		q.Messages = append(q.Messages, message.Role+": "+message.Content)
	}
	m.questions <- q
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		select {
		case event, more := <-q.events:
			if !more {
				return
			}
			_, _ = fmt.Fprintf(w, "data: %s\n\n", event)
			_ = http.NewResponseController(w).Flush()
		case <-q.aborted:
			return
		}
	}
}

// Client implements agent.Providers: every provider is this one, but those that
// the tests name otherwise.
func (m *model) Client(_ context.Context, id string) (provider.Client, error) {
	switch id {
	case "unknown":
		return nil, agent.ErrProviderNotFound
	case "down":
		return provider.New(provider.Config{ID: "custom", BaseURL: "http://127.0.0.1:1"}, http.DefaultClient)
	}
	return provider.New(provider.Config{ID: "custom", BaseURL: m.server.URL, APIKey: "k"}, m.server.Client())
}

// next is the next question.
func (m *model) next(t *testing.T) *question {
	t.Helper()
	select {
	case q := <-m.questions:
		return q
	case <-time.After(patience):
		t.Fatal("the model was not asked")
		return nil
	}
}

// mustNotBeAsked is for when everything that could ask has come to its end.
func (m *model) mustNotBeAsked(t *testing.T) {
	t.Helper()
	select {
	case q := <-m.questions:
		t.Errorf("the model was asked again: %q", q.Messages)
	default:
	}
}

// say sends a piece of the answer.
func (q *question) say(text string) {
	piece, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	q.send(`{"choices":[{"index":0,"delta":{"role":"assistant","content":` + string(piece) + `}}]}`)
}

// end finishes the answer.
func (q *question) end() {
	q.send(`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16}}`)
	q.send("[DONE]")
	close(q.events)
}

func (q *question) send(event string) {
	select {
	case q.events <- event:
	case <-q.aborted:
	}
}

// mustBeAborted waits until the request is gone and says when that was.
func (q *question) mustBeAborted(t *testing.T) time.Time {
	t.Helper()
	select {
	case <-q.aborted:
		return time.Now()
	case <-time.After(patience):
		t.Fatal("the request to the provider was not aborted")
		return time.Time{}
	}
}
