package provider

import (
	"context"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"go.opentelemetry.io/otel/propagation"
	"golang.org/x/net/http/httpguts"
)

// wire is what all calls to one provider have in common.
type wire struct {
	http    *http.Client
	base    *url.URL
	query   url.Values
	key     string
	headers map[string]string
	secrets redactor
	start   time.Duration
	idle    time.Duration
}

func newWire(cfg Config, def Definition, client *http.Client) (*wire, error) {
	if client == nil {
		return nil, invalid("an HTTP client is required")
	}
	raw := cfg.BaseURL
	if raw == "" {
		raw = def.BaseURL
	}
	if raw == "" {
		return nil, invalid("the provider has no base_url")
	}
	base, query, err := endpoint(raw, def.Protocol)
	if err != nil {
		return nil, err
	}
	w := &wire{
		http: unredirected(client), base: base, query: query, key: strings.TrimSpace(cfg.APIKey), headers: cfg.Headers,
		start: cfg.StartTimeout, idle: cfg.IdleTimeout,
	}
	if w.start <= 0 {
		w.start = DefaultStartTimeout
	}
	if w.idle <= 0 {
		w.idle = DefaultIdleTimeout
	}
	if err := w.checkHeaders(); err != nil {
		return nil, err
	}
	w.secrets = newRedactor(w.confidential()...)
	return w, nil
}

// unredirected is client without following redirects: no model API needs them,
// and net/http would carry headers such as X-Api-Key to another host.
func unredirected(client *http.Client) *http.Client {
	c := *client
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// framing are the headers that the HTTP client makes; others would break requests.
var framing = map[string]bool{
	"Host": true, "Connection": true, "Content-Length": true, "Content-Type": true,
	"Transfer-Encoding": true, "Accept-Encoding": true,
}

func (w *wire) checkHeaders() error {
	if !httpguts.ValidHeaderFieldValue(w.key) {
		return invalid("the API key has characters that no header can hold")
	}
	for name, value := range w.headers {
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return invalid("a configured header has a name that is none")
		case framing[http.CanonicalHeaderKey(name)]:
			return invalid("the header " + http.CanonicalHeaderKey(name) + " cannot be configured")
		case !httpguts.ValidHeaderFieldValue(value):
			return invalid("the header " + http.CanonicalHeaderKey(name) + " has characters that no header can hold")
		}
	}
	return nil
}

// confidential lists what must not appear in any error.
func (w *wire) confidential() []string {
	list := []string{w.key}
	for _, value := range w.headers {
		list = append(list, strings.TrimSpace(value))
	}
	for _, values := range w.query {
		list = append(list, values...)
	}
	return list
}

// dress adds the trace that the call is part of (W3C Trace Context), and the
// configured query and headers.
func (w *wire) dress(req *http.Request) {
	if len(w.query) > 0 {
		q := req.URL.Query()
		maps.Copy(q, w.query)
		req.URL.RawQuery = q.Encode()
	}
	propagation.TraceContext{}.Inject(req.Context(), propagation.HeaderCarrier(req.Header))
	for name, value := range w.headers {
		req.Header.Set(name, value)
	}
}

// call is one use of a provider: one request, or the pages of one list.
type call struct {
	ctx     context.Context
	wire    *wire
	cancel  context.CancelCauseFunc
	silence *time.Timer // cancels the call; runs while we wait for the provider
	stream  bool        // the answer is to be a stream of events
	done    bool        // the stream's own end marker was read
}

// begin starts a call; end must follow.
func (w *wire) begin(ctx context.Context, stream bool) *call {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &call{ctx: ctx, wire: w, cancel: cancel, stream: stream}
	c.silence = time.AfterFunc(w.start, func() { cancel(errSilent) })
	return c
}

func (c *call) end() {
	c.silence.Stop()
	c.cancel(nil)
}

// roundTrip is a middleware of both SDKs. It lets only what was asked for
// through: a successful response of the right type, bounded in size and silence.
func (c *call) roundTrip(req *http.Request, next func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	c.wire.dress(req)
	c.silence.Reset(c.wire.start)
	res, err := next(req)
	c.silence.Stop()
	if err != nil {
		return nil, err
	}
	res.Body = newBody(c, res.Body)
	if err := c.accept(res); err != nil {
		_ = res.Body.Close() // what is wrong with the response is the error
		return nil, err
	}
	return res, nil
}

// accept refuses responses that are failures or of the wrong type. It is lenient
// with event streams under an odd name, which exist.
func (c *call) accept(res *http.Response) error {
	if res.StatusCode < http.StatusOK || res.StatusCode >= http.StatusMultipleChoices {
		return c.wire.responseFault(res, c.peek(res))
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	isJSON := kind == "application/json" || strings.HasSuffix(kind, "+json")
	switch {
	case c.stream && isJSON:
		body := c.peek(res)
		if gjson.GetBytes(body, "error").Exists() {
			return c.wire.spokenFault(0, body)
		}
		return &Error{Kind: KindProtocol, Message: "the provider answered at once although a stream was asked for"}
	case c.stream && kind != "text/html", !c.stream && isJSON:
		return nil
	}
	e := &Error{Kind: KindProtocol, Message: "the provider answered with a web page or another thing that is no API: check base_url"}
	if text := c.wire.secrets.quote(pageTitle(string(c.peek(res)))); text != "" {
		e.Message += ": " + text
	}
	return e
}

// peek reads the beginning of a body that is no answer, or what came of it.
func (c *call) peek(res *http.Response) []byte {
	body, _ := io.ReadAll(io.LimitReader(res.Body, errorBodyLimit))
	return body
}
