package provider_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/agent/provider"
)

func TestErrorResponses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		status     int
		header     map[string]string
		body       string
		kind       provider.Kind
		says       string
		retryable  bool
		retryAfter time.Duration
	}{
		{name: "OpenAI's shape", status: 400, body: `{"error":{"message":"Unsupported value: 'temperature'","type":"invalid_request_error","param":"temperature","code":"unsupported_value"}}`, kind: provider.KindInvalid, says: "refuses the request (HTTP 400): Unsupported value: 'temperature'"},
		{name: "Anthropic's shape", status: 529, body: `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}`, kind: provider.KindServer, says: "failed (HTTP 529): Overloaded", retryable: true},
		{name: "Ollama's shape", status: 404, body: `{"error":"model 'm' not found"}`, kind: provider.KindNotFound, says: "model 'm' not found"},
		{name: "Google's array", status: 400, body: `[{"error":{"code":400,"message":"API key not valid","status":"INVALID_ARGUMENT"}}]`, kind: provider.KindInvalid, says: "API key not valid"},
		{name: "a gateway's detail", status: 422, body: `{"detail":[{"loc":["body"],"msg":"field required"}]}`, kind: provider.KindInvalid, says: "field required"},
		{name: "a web page", status: 502, body: "<html><head><title>502 Bad\n Gateway</title></head><body>nginx</body></html>", kind: provider.KindServer, says: "failed (HTTP 502): 502 Bad Gateway", retryable: true},
		{name: "a web page without a title", status: 503, body: "<html><body>secret internals</body></html>", kind: provider.KindServer, says: "failed (HTTP 503)", retryable: true},
		{name: "plain text", status: 500, body: "boom\x00\x1b[31m\u202e!", kind: provider.KindServer, says: "failed (HTTP 500): boom [31m!", retryable: true},
		{name: "nothing", status: 500, kind: provider.KindServer, says: "failed (HTTP 500)", retryable: true},
		{name: "a limit with seconds", status: 429, header: map[string]string{"Retry-After": "7"}, body: `{"error":{"message":"slow"}}`, kind: provider.KindRateLimited, says: "limits requests (HTTP 429): slow", retryable: true, retryAfter: 7 * time.Second},
		{name: "a limit with milliseconds", status: 429, header: map[string]string{"Retry-After-Ms": "250", "Retry-After": "7"}, kind: provider.KindRateLimited, says: "limits", retryable: true, retryAfter: 250 * time.Millisecond},
		{name: "a spent budget", status: 429, body: `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}`, kind: provider.KindRateLimited, says: "quota"},
		{name: "a server that asks not to come back", status: 500, header: map[string]string{"X-Should-Retry": "false"}, kind: provider.KindServer, says: "failed"},
		{name: "bad credentials", status: 401, body: `{"error":{"message":"bad key"}}`, kind: provider.KindAuth, says: "refuses the credentials (HTTP 401): bad key"},
		{name: "no permission", status: 403, kind: provider.KindAuth, says: "credentials"},
		{name: "no money", status: 402, kind: provider.KindAuth, says: "credentials"},
		{name: "too large", status: 413, kind: provider.KindInvalid, says: "HTTP 413"},
		{name: "a request timeout", status: 408, kind: provider.KindTimeout, says: "timed out (HTTP 408)", retryable: true},
		{name: "a redirect", status: 308, header: map[string]string{"Location": "https://elsewhere.test/?token=t"}, kind: provider.KindInvalid, says: "base_url"},
	}
	for _, dialect := range dialects {
		for _, tt := range tests {
			t.Run(dialect+": "+tt.name, func(t *testing.T) {
				t.Parallel()
				url := fake(t, func(w http.ResponseWriter, _ *http.Request) {
					for k, v := range tt.header {
						w.Header().Set(k, v)
					}
					w.WriteHeader(tt.status)
					_, _ = io.WriteString(w, tt.body)
				})
				c := newClient(t, provider.Config{ID: dialect, BaseURL: url})
				_, streamErr := read(t, c, hello())
				for op, err := range map[string]error{"stream": streamErr, "ping": c.Ping(t.Context())} {
					e := fault(t, err)
					if e.Kind != tt.kind || e.Status != tt.status || e.Retryable() != tt.retryable || e.RetryAfter != tt.retryAfter {
						t.Errorf("%s: %+v, retryable %v", op, e, e.Retryable())
					}
					if !strings.Contains(e.Message, tt.says) || strings.Contains(e.Message, "internals") || strings.Contains(e.Message, "elsewhere.test") {
						t.Errorf("%s: message %q, want %q in it", op, e.Message, tt.says)
					}
				}
			})
		}
	}
}

func TestRetryAfterADate(t *testing.T) {
	t.Parallel()
	url := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	_, err := read(t, newClient(t, provider.Config{ID: "custom", BaseURL: url}), hello())
	if got := fault(t, err).RetryAfter; got < 59*time.Minute || got > time.Hour {
		t.Errorf("RetryAfter = %s", got)
	}
}

func TestEveryRequestIsMadeOnce(t *testing.T) {
	t.Parallel()
	for _, dialect := range dialects {
		calls := make(chan string, 10)
		url := fake(t, func(w http.ResponseWriter, r *http.Request) {
			calls <- r.URL.Path
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		c := newClient(t, provider.Config{ID: dialect, BaseURL: url})
		_, _ = read(t, c, hello())
		_, _ = c.Models(t.Context())
		if n := len(calls); n != 2 {
			t.Errorf("%s: %d requests for a stream and a list that failed, want one each", dialect, n)
		}
	}
}

func TestStreamsThatGoWrong(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		write     func(w http.ResponseWriter, dialect string)
		kind      provider.Kind
		says      string
		retryable bool
		text      string // what came before
	}{
		{
			name:  "an end without a finish",
			write: func(w http.ResponseWriter, d string) { sse(w, text(d, "Hel")) },
			kind:  provider.KindNetwork, says: "before it was finished", retryable: true, text: "Hel",
		},
		{
			name:  "no event at all",
			write: func(w http.ResponseWriter, _ string) { sse(w) },
			kind:  provider.KindNetwork, says: "before it was finished", retryable: true,
		},
		{
			name: "a broken connection",
			write: func(w http.ResponseWriter, d string) {
				sse(w, text(d, "Hel"))
				panic(http.ErrAbortHandler)
			},
			kind: provider.KindNetwork, says: "the connection to the provider broke: it ended early", retryable: true, text: "Hel",
		},
		{
			name:  "an event that is no JSON",
			write: func(w http.ResponseWriter, d string) { sse(w, text(d, "Hel"), `{"type":"content_block_delta","del`) },
			kind:  provider.KindProtocol, says: "cannot be understood", text: "Hel",
		},
		{
			name: "an error in the stream",
			write: func(w http.ResponseWriter, d string) {
				sse(w, text(d, "Hel"), `{"type":"error","error":{"type":"rate_limit_error","message":"too many tokens"}}`)
			},
			kind: provider.KindRateLimited, says: "limits requests: too many tokens", retryable: true, text: "Hel",
		},
		{
			name: "an overload in the stream",
			write: func(w http.ResponseWriter, _ string) {
				sse(w, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)
			},
			kind: provider.KindServer, says: "failed: Overloaded", retryable: true,
		},
		{
			name: "OpenRouter's error in the stream",
			write: func(w http.ResponseWriter, _ string) {
				sse(w, `{"type":"error","error":{"code":402,"message":"Insufficient credits"}}`)
			},
			kind: provider.KindAuth, says: "(HTTP 402): Insufficient credits",
		},
		{
			name: "a web page as a success",
			write: func(w http.ResponseWriter, _ string) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				_, _ = io.WriteString(w, "<!doctype html><title>Sign in</title>")
			},
			kind: provider.KindProtocol, says: "check base_url: Sign in",
		},
		{
			name: "an error as a success",
			write: func(w http.ResponseWriter, _ string) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"error":{"message":"no such model","type":"not_found_error"}}`)
			},
			kind: provider.KindNotFound, says: "no such model",
		},
		{
			name: "a whole answer although a stream was asked for",
			write: func(w http.ResponseWriter, _ string) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"choices":[{"message":{"role":"assistant","content":"Hello"}}]}`)
			},
			kind: provider.KindProtocol, says: "although a stream was asked for",
		},
		{
			name: "another stream than events",
			write: func(w http.ResponseWriter, _ string) {
				w.Header().Set("Content-Type", "application/x-ndjson")
				_, _ = io.WriteString(w, "{\"message\":{\"content\":\"Hi\"},\"done\":true}\n")
			},
			kind: provider.KindNetwork, says: "before it was finished", retryable: true,
		},
	}
	for _, dialect := range dialects {
		for _, tt := range tests {
			t.Run(dialect+": "+tt.name, func(t *testing.T) {
				t.Parallel()
				url := fake(t, func(w http.ResponseWriter, _ *http.Request) { tt.write(w, dialect) })
				got, err := read(t, newClient(t, provider.Config{ID: dialect, BaseURL: url}), hello())
				e := fault(t, err)
				if e.Kind != tt.kind || e.Retryable() != tt.retryable || !strings.Contains(e.Message, tt.says) {
					t.Errorf("%+v, retryable %v, want %s, %q", e, e.Retryable(), tt.kind, tt.says)
				}
				if got.text != tt.text {
					t.Errorf("text before the error: %q, want %q", got.text, tt.text)
				}
			})
		}
	}
}

func TestProvidersThatCannotBeReached(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://localhost:" + port
	_ = l.Close()
	tlsServer := httptest.NewUnstartedServer(http.NotFoundHandler())
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0) // it logs what the test is about
	tlsServer.StartTLS()
	t.Cleanup(tlsServer.Close)

	tests := []struct {
		name, url string
		kind      provider.Kind
		says      string
		retryable bool
	}{
		{"nobody listens", closed, provider.KindNetwork, "cannot be reached: localhost:" + port + ": dial: connect: connection refused", true},
		{"no such name", "http://no-such-host.invalid", provider.KindNetwork, "cannot be reached: no-such-host.invalid: the name no-such-host.invalid cannot be resolved", true},
		{"an untrusted certificate", tlsServer.URL, provider.KindNetwork, "certificate is not trusted", false},
		{"a forbidden address", "http://169.254.169.254", provider.KindInvalid, "may not be called", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, dialect := range dialects {
				err := newClient(t, provider.Config{ID: dialect, BaseURL: tt.url}).Ping(t.Context())
				e := fault(t, err)
				if e.Kind != tt.kind || e.Retryable() != tt.retryable || !strings.Contains(e.Message, tt.says) {
					t.Errorf("%s: %+v, retryable %v, want %s, %q", dialect, e, e.Retryable(), tt.kind, tt.says)
				}
				if strings.Contains(e.Message, "127.0.0.1") || strings.Contains(e.Message, "169.254") {
					t.Errorf("%s: the message tells an address: %q", dialect, e.Message)
				}
			}
		})
	}
}

func TestRequestsThatCannotBeMade(t *testing.T) {
	t.Parallel()
	url := fake(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	for name, req := range map[string]provider.Request{
		"no model":          {Messages: hello().Messages},
		"no message":        {Model: "m", System: "s"},
		"a blank message":   {Model: "m", Messages: []provider.Message{{Role: "user", Text: " "}}},
		"params no object":  {Model: "m", Messages: hello().Messages, Params: []byte(`[1]`)},
		"a bound no number": {Model: "m", Messages: hello().Messages, Params: []byte(`{"max_tokens":"abc"}`)},
		"a bound of zero":   {Model: "m", Messages: hello().Messages, Params: []byte(`{"max_tokens":0}`)},
	} {
		for _, dialect := range dialects {
			_, err := read(t, newClient(t, provider.Config{ID: dialect, BaseURL: url}), req)
			if e := fault(t, err); e.Kind != provider.KindInvalid || e.Retryable() {
				t.Errorf("%s, %s: %+v", dialect, name, e)
			}
		}
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]provider.Config{
		"an unknown provider":      {ID: "nope"},
		"no base URL":              {ID: "g4f"},
		"a base URL that is none":  {ID: "custom", BaseURL: "http://top-secret-value\x7f/"},
		"another scheme":           {ID: "custom", BaseURL: "file:///top-secret-value"},
		"no host":                  {ID: "custom", BaseURL: "http:///top-secret-value"},
		"a password in the URL":    {ID: "custom", BaseURL: "http://user:top-secret-value@h"},
		"a key with a line break":  {ID: "openai", APIKey: "top-secret-value\nX: y"},
		"a header with one":        {ID: "openai", Headers: map[string]string{"X": "top-secret-value\r\n"}},
		"a header without a name":  {ID: "openai", Headers: map[string]string{"": "top-secret-value"}},
		"a header of HTTP's own":   {ID: "openai", Headers: map[string]string{"transfer-encoding": "top-secret-value"}},
		"extra fields, no object":  {ID: "openai", Extra: []byte(`"top-secret-value"`)},
		"extra fields that stream": {ID: "openai", Extra: []byte(`{"stream":false,"k":"top-secret-value"}`)},
	} {
		_, err := provider.New(cfg, http.DefaultClient)
		if e := fault(t, err); e.Retryable() || strings.Contains(fmt.Sprintf("%+v %v", e, e), "top-secret-value") {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if _, err := provider.New(provider.Config{ID: "openai"}, nil); err == nil {
		t.Error("a client without an HTTP client was made")
	}
}

func TestErrorsMatchTheContexts(t *testing.T) {
	t.Parallel()
	if !errors.Is(&provider.Error{Kind: provider.KindCanceled}, context.Canceled) ||
		!errors.Is(&provider.Error{Kind: provider.KindTimeout}, context.DeadlineExceeded) ||
		errors.Is(&provider.Error{Kind: provider.KindServer}, context.Canceled) {
		t.Error("errors.Is does not tell the kinds")
	}
}
