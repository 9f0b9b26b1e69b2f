package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/g4fagent/g4fagent/api"
)

// contract is a transport that holds every exchange with the server to the
// document: what was accepted was a request that the document allows, and what
// came back is an answer that it describes. It shares nothing with the server's
// own validation but the document.
type contract struct {
	t    testing.TB
	base string // the path of the API
}

// RoundTrip implements http.RoundTripper.
func (c contract) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return res, c.hold(r.Context(), r, sent, res, nil)
	}
	got, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	res.Body = io.NopCloser(bytes.NewReader(got))
	return res, c.hold(r.Context(), r, sent, res, got)
}

// hold reports on the test what breaks the contract. Its error is always nil.
func (c contract) hold(ctx context.Context, r *http.Request, sent []byte, res *http.Response, got []byte) error {
	broken := func(format string, args ...any) {
		c.t.Errorf("%s %s: %d: %s\nsent: %.400s\ngot: %.600s", r.Method, r.URL.Path, res.StatusCode, fmt.Sprintf(format, args...), sent, got)
	}
	path, below := strings.CutPrefix(r.URL.EscapedPath(), c.base)
	if !below || r.Method == http.MethodOptions {
		return nil
	}
	if res.Header.Get("X-Request-Id") == "" {
		broken("no X-Request-Id")
	}
	e := exchanged{r: r, res: res, sent: sent, got: got, broken: broken}
	e.operation, e.params, e.known = operationOf(r.Method, path)
	if res.StatusCode >= http.StatusBadRequest {
		e.refusal()
	}
	if e.known {
		e.document(ctx)
	} else if res.StatusCode < http.StatusBadRequest {
		broken("an operation that the document does not have")
	}
	return nil
}

// exchanged is a request with its answer.
type exchanged struct {
	r         *http.Request
	res       *http.Response
	sent, got []byte
	operation api.Operation
	params    map[string]string
	known     bool // there is such an operation
	broken    func(format string, args ...any)
}

// operationOf finds an operation without the server's router. HEAD is a GET.
func operationOf(method, path string) (api.Operation, map[string]string, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if path == "" {
		path = "/"
	}
	asked := strings.Split(path, "/")
next:
	for _, o := range api.Operations() {
		parts := strings.Split(o.Path, "/")
		if o.Method != method || len(parts) != len(asked) {
			continue
		}
		params := map[string]string{}
		for i, part := range parts {
			switch name, ok := strings.CutPrefix(part, "{"); {
			case ok && asked[i] != "":
				params[strings.TrimSuffix(name, "}")], _ = url.PathUnescape(asked[i])
			case part != asked[i]:
				continue next
			}
		}
		return o, params, true
	}
	return api.Operation{}, nil, false
}

// refusal holds an error to what every error has, and its code to those that the
// document lets the operation answer.
func (e exchanged) refusal() {
	var fault struct {
		Code      string `json:"code"`
		RequestID string `json:"request_id"`
		Retryable bool   `json:"retryable"`
		Status    int    `json:"status"`
	}
	if e.r.Method == http.MethodHead {
		return // whose answer has no body
	}
	body := e.got
	isProblem := e.res.Header.Get("Content-Type") == "application/problem+json"
	if !isProblem {
		var envelope struct{ Error json.RawMessage }
		if err := json.Unmarshal(e.got, &envelope); err != nil {
			e.broken("no error envelope: %v", err)
			return
		}
		body = envelope.Error
	}
	if err := json.Unmarshal(body, &fault); err != nil {
		e.broken("no error: %v", err)
		return
	}
	documented, ok := api.Errors()[fault.Code]
	switch {
	case !ok:
		e.broken("the code %q is not documented", fault.Code)
	case documented.Status != e.res.StatusCode || isProblem && fault.Status != documented.Status:
		e.broken("%s has status %d in the document", fault.Code, documented.Status)
	case documented.Retryable != fault.Retryable:
		e.broken("retryable is %v in the document", documented.Retryable)
	}
	if fault.RequestID != e.res.Header.Get("X-Request-Id") {
		e.broken("request_id is %q, X-Request-Id %q", fault.RequestID, e.res.Header.Get("X-Request-Id"))
	}
	allowed := []string{"not_found", "method_not_allowed"}
	if e.known {
		allowed = e.operation.ErrorCodes
	}
	if !slices.Contains(allowed, fault.Code) {
		e.broken("%s is none of the codes %v", fault.Code, allowed)
	}
	e.refusalHeaders()
}

func (e exchanged) refusalHeaders() {
	needs := map[int]string{
		http.StatusUnauthorized: "WWW-Authenticate", http.StatusMethodNotAllowed: "Allow",
		http.StatusTooManyRequests: "Retry-After", http.StatusServiceUnavailable: "Retry-After",
	}
	if name := needs[e.res.StatusCode]; name != "" && e.res.Header.Get(name) == "" {
		e.broken("no %s", name)
	}
}

// document holds the exchange to the operation's schemas, and to its headers.
func (e exchanged) document(ctx context.Context) {
	doc := documents()
	item := doc.answers.Paths.Value(e.operation.Path)
	input := &openapi3filter.RequestValidationInput{
		Request: e.r, PathParams: e.params,
		Route: &routers.Route{Spec: doc.answers, Path: e.operation.Path, PathItem: item, Method: e.operation.Method, Operation: item.GetOperation(e.operation.Method)},
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, SkipSettingDefaults: true, MultiError: true,
			ExcludeResponseBody: e.operation.Stream && e.res.StatusCode == http.StatusOK || e.r.Method == http.MethodHead,
		},
	}
	response := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: e.res.StatusCode, Header: e.res.Header,
		Body: io.NopCloser(bytes.NewReader(e.got)), Options: input.Options,
	}
	if err := openapi3filter.ValidateResponse(ctx, response); err != nil {
		e.broken("the answer is not the documented one: %v", err)
	}
	if e.res.StatusCode >= http.StatusMultipleChoices {
		return
	}
	e.headers(input.Route.Operation)
	e.request(ctx, doc.requests, *input)
}

// headers are there where the document promises them, but for those of which it
// says when they are present.
func (e exchanged) headers(o *openapi3.Operation) {
	success := o.Responses.Status(e.res.StatusCode)
	if success == nil {
		e.broken("it does not succeed with this status")
		return
	}
	for name := range success.Value.Headers {
		sometimes := name == "X-Read-Model" || name == "Idempotency-Replayed" || name == "Age" || e.operation.Method != http.MethodGet && name == "ETag"
		if !sometimes && e.res.Header.Get(name) == "" {
			e.broken("no %s", name)
		}
	}
}

// request holds what was accepted to the document.
func (e exchanged) request(ctx context.Context, doc *openapi3.T, input openapi3filter.RequestValidationInput) {
	if e.operation.Body == api.JSONBody && e.operation.BodyRequired && len(e.sent) == 0 {
		e.broken("accepted without its body")
	}
	r := e.r.Clone(ctx)
	r.Body = io.NopCloser(bytes.NewReader(e.sent))
	if len(e.sent) > 0 && e.operation.Body == api.JSONBody {
		r.Header.Set("Content-Type", "application/json") // which the server does not ask for
	}
	options := *input.Options
	options.ExcludeRequestBody = len(e.sent) == 0 || e.operation.Body != api.JSONBody
	item := doc.Paths.Value(e.operation.Path)
	input.Request, input.Options = r, &options
	input.Route = &routers.Route{Spec: doc, Path: e.operation.Path, PathItem: item, Method: e.operation.Method, Operation: item.GetOperation(e.operation.Method)}
	if err := openapi3filter.ValidateRequest(ctx, &input); err != nil {
		e.broken("accepted, but not what the document allows: %v", err)
	}
}

// document is the document twice. Answers may have no member that it does not
// describe; requests may.
type document struct{ requests, answers *openapi3.T }

var documents = sync.OnceValue(func() document {
	var tree any
	if err := json.Unmarshal(api.JSON(), &tree); err != nil {
		panic(err)
	}
	requests := loadDocument(tree)
	seal(tree)
	nameTypes(tree)
	return document{requests, loadDocument(tree)}
})

// nameTypes lists the types of a value that can be of any: kin-openapi takes a
// schema without a type for one without null.
func nameTypes(tree any) {
	for _, name := range []string{"components", "schemas", "AnyValue"} {
		tree = tree.(map[string]any)[name]
	}
	tree.(map[string]any)["type"] = []any{"object", "array", "string", "number", "boolean", "null"}
}

func loadDocument(tree any) *openapi3.T {
	raw, err := json.Marshal(tree)
	if err != nil {
		panic(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		panic(err)
	}
	return doc
}

// seal closes every object that lists its members and does not say that it may
// have others.
func seal(node any) {
	switch node := node.(type) {
	case []any:
		for _, n := range node {
			seal(n)
		}
	case map[string]any:
		_, lists := node["properties"].(map[string]any)
		if _, says := node["additionalProperties"]; lists && !says && node["type"] == "object" {
			node["additionalProperties"] = false
		}
		for _, n := range node {
			seal(n)
		}
	}
}

// A transport that cannot fail would prove nothing.
func TestContract(t *testing.T) {
	t.Parallel()
	ok := http.Header{"X-Request-Id": {"r"}, "Content-Type": {"application/json"}}
	for name, test := range map[string]struct {
		method, path, sent string
		status             int
		got                string
		broken             bool
	}{
		"a good answer":                  {"GET", "/me", "", 200, `{"user":{"id":"user_1","name":"A","email":"","roles":[],"disabled":false,"created_at":"2026-01-01T00:00:00.001Z"}}`, false},
		"a member too many":              {"GET", "/me", "", 200, `{"user":{"id":"user_1","verifier":"x","name":"A","email":"","roles":[],"disabled":false,"created_at":"2026-01-01T00:00:00.001Z"}}`, true},
		"a member too few":               {"GET", "/me", "", 200, `{"user":{}}`, true},
		"no time":                        {"GET", "/me", "", 200, `{"user":{"id":"user_1","name":"A","email":"","roles":[],"disabled":false,"created_at":"yesterday"}}`, true},
		"an undocumented success":        {"GET", "/me", "", 201, `{}`, true},
		"a documented code":              {"GET", "/projects/p", "", 404, `{"error":{"code":"project_not_found","message":"m","request_id":"r","retryable":false}}`, false},
		"a code of others":               {"GET", "/projects/p", "", 404, `{"error":{"code":"user_not_found","message":"m","request_id":"r","retryable":false}}`, true},
		"a code that nobody knows":       {"GET", "/projects/p", "", 404, `{"error":{"code":"what","message":"m","request_id":"r","retryable":false}}`, true},
		"a code with another status":     {"GET", "/projects/p", "", 400, `{"error":{"code":"project_not_found","message":"m","request_id":"r","retryable":false}}`, true},
		"another request's id":           {"GET", "/projects/p", "", 404, `{"error":{"code":"project_not_found","message":"m","request_id":"q","retryable":false}}`, true},
		"a request that is not allowed":  {"POST", "/sessions/s/messages", `{"role":7,"content":[]}`, 200, `{"message_id":"msg_1"}`, true},
		"a request that is":              {"POST", "/sessions/s/messages", `{"role":"user","content":[]}`, 200, `{"message_id":"msg_1"}`, false},
		"an operation that is not there": {"GET", "/nothing", "", 200, `{}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := ok.Clone()
			header.Set("ETag", `"1"`)
			header.Set("X-Commit-Position", "1")
			heard := &listener{TB: t}
			c := contract{t: heard, base: "/api/v1"}
			r, err := http.NewRequestWithContext(t.Context(), test.method, "http://s/api/v1"+test.path, strings.NewReader(test.sent))
			if err != nil {
				t.Fatal(err)
			}
			_ = c.hold(t.Context(), r, []byte(test.sent), &http.Response{StatusCode: test.status, Header: header}, []byte(test.got))
			if heard.failed != test.broken {
				t.Errorf("broken is %v: %s", heard.failed, heard.text)
			}
		})
	}
}

// listener takes a test's errors.
type listener struct {
	testing.TB

	failed bool
	text   string
}

func (l *listener) Errorf(format string, args ...any) {
	l.failed, l.text = true, l.text+fmt.Sprintf(format, args...)
}
