package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	openaisse "github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/tidwall/gjson"
)

// errSilent is why a call is canceled when its provider says nothing for too long.
var errSilent = errors.New("the provider was silent for too long")

// readError marks what went wrong while a response's body was read.
type readError struct{ err error }

func (e readError) Error() string { return e.err.Error() }
func (e readError) Unwrap() error { return e.err }

// explain makes an *Error of whatever a call ended with.
func (c *call) explain(err error) *Error {
	if errors.Is(context.Cause(c.ctx), errSilent) {
		return &Error{Kind: KindTimeout, Message: errSilent.Error()}
	}
	switch ctxErr := c.ctx.Err(); {
	case errors.Is(ctxErr, context.DeadlineExceeded):
		return &Error{Kind: KindTimeout, Message: "the time for the request was over before the answer was"}
	case ctxErr != nil:
		return &Error{Kind: KindCanceled, Message: "the request was canceled"}
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*openaisse.StreamError](err); ok {
		return c.wire.spokenFault(0, e.Event.Data)
	}
	if e, ok := errors.AsType[*anthropic.Error](err); ok {
		return c.wire.spokenFault(0, []byte(e.RawJSON()))
	}
	return c.wire.transportFault(err)
}

// transportFault explains an error that is not the provider's own words.
func (w *wire) transportFault(err error) *Error {
	var (
		onTheWay *url.Error
		reading  readError
		timeout  net.Error
		badCert  *tls.CertificateVerificationError
	)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &Error{Kind: KindInvalid, Message: "the provider may not be called: " + w.secrets.quote(cause(err))}
	case errors.As(err, &badCert):
		return &Error{Kind: KindNetwork, Message: "the provider's certificate is not trusted: " + w.secrets.quote(cause(badCert.Err)), final: true}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &Error{Kind: KindTimeout, Message: "the provider did not answer in time: " + w.secrets.quote(cause(err))}
	case errors.As(err, &onTheWay):
		return &Error{Kind: KindNetwork, Message: "the provider cannot be reached: " + w.secrets.quote(host(onTheWay)+": "+cause(err))}
	case errors.As(err, &reading):
		return &Error{Kind: KindNetwork, Message: "the connection to the provider broke: " + w.secrets.quote(cause(err))}
	default:
		return &Error{Kind: KindProtocol, Message: "the provider's answer cannot be understood: " + w.secrets.quote(err.Error())}
	}
}

// host is that of a URL as it was configured, with its port, which is no secret.
// What a name resolves to inside our network would be, and is not told.
func host(failed *url.Error) string {
	u, err := url.Parse(failed.URL)
	if err != nil {
		return "its address"
	}
	return u.Host
}

// cause is err's text without the parts that tell URLs or addresses: those of
// *url.Error and *net.OpError.
func cause(err error) string {
	var op *net.OpError
	var dns *net.DNSError
	var onTheWay *url.Error
	switch {
	case errors.As(err, &dns):
		return "the name " + dns.Name + " cannot be resolved"
	case errors.As(err, &op):
		return op.Op + ": " + cause(op.Err)
	case errors.As(err, &onTheWay):
		return cause(onTheWay.Err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "it ended early"
	default:
		return err.Error()
	}
}

// responseFault explains a response that is not a success.
func (w *wire) responseFault(res *http.Response, body []byte) *Error {
	var e *Error
	if res.StatusCode < http.StatusBadRequest {
		e = &Error{Kind: KindInvalid, Message: "the provider sends the request elsewhere (HTTP " + strconv.Itoa(res.StatusCode) + "): base_url is not its final address"}
	} else {
		e = w.spokenFault(res.StatusCode, body)
	}
	e.Status = res.StatusCode
	e.RetryAfter = retryAfter(res.Header, time.Now())
	if res.Header.Get("X-Should-Retry") == "false" {
		e.final = true
	}
	return e
}

// spokenFault explains an error in the provider's own words. Status is zero for
// one that came within a stream.
func (w *wire) spokenFault(status int, body []byte) *Error {
	said := parseSaid(body)
	if status == 0 {
		status = said.status
	}
	kind := said.kind()
	if status != 0 {
		kind = kindOfStatus(status)
	}
	e := &Error{Kind: kind, Status: status, final: said.isFinal()}
	e.Message = headlines[kind]
	if status != 0 {
		e.Message += " (HTTP " + strconv.Itoa(status) + ")"
	}
	if text := w.secrets.quote(said.text); text != "" {
		e.Message += ": " + text
	}
	return e
}

var headlines = map[Kind]string{
	KindAuth:        "the provider refuses the credentials",
	KindRateLimited: "the provider limits requests",
	KindServer:      "the provider failed",
	KindInvalid:     "the provider refuses the request",
	KindNotFound:    "the provider does not know the model or the address",
	KindTimeout:     "the provider timed out",
}

func kindOfStatus(status int) Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden:
		return KindAuth
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone:
		return KindNotFound
	case http.StatusRequestTimeout:
		return KindTimeout
	case http.StatusTooManyRequests:
		return KindRateLimited
	case http.StatusConflict, http.StatusTooEarly:
		return KindServer
	}
	if status >= http.StatusInternalServerError {
		return KindServer
	}
	return KindInvalid
}

// said is what an error body tells.
type said struct {
	text   string
	code   string // OpenAI's code or type, Anthropic's type
	status int    // OpenRouter's code, within a stream
}

// parseSaid reads the shapes in use: {"error":{"message","type","code"}} of
// OpenAI, Anthropic, OpenRouter and Google (there in an array), {"error":"…"} of
// Ollama, {"message"} and {"detail"} of gateways, a web page, plain text.
func parseSaid(body []byte) said {
	if !gjson.ValidBytes(body) {
		return said{text: pageTitle(string(body))}
	}
	root := gjson.ParseBytes(body)
	if root.IsArray() {
		root = root.Get("0")
	}
	if !root.IsObject() {
		return said{text: root.String()}
	}
	e := root.Get("error")
	if !e.IsObject() {
		return said{text: firstString(root, "error", "message", "detail", "detail.0.msg")}
	}
	s := said{text: firstString(e, "message", "msg"), code: firstString(e, "code", "type")}
	if n := e.Get("code"); n.Type == gjson.Number && n.Int() >= 400 && n.Int() < 600 {
		s.status, s.code = int(n.Int()), firstString(e, "type")
	}
	return s
}

func firstString(v gjson.Result, paths ...string) string {
	for _, path := range paths {
		if s := v.Get(path); s.Type == gjson.String && s.Str != "" {
			return s.Str
		}
	}
	return ""
}

// kind classifies by code, for errors within a stream, which have no status.
func (s said) kind() Kind {
	switch s.code {
	case "authentication_error", "permission_error", "billing_error", "invalid_api_key", "insufficient_quota":
		return KindAuth
	case "rate_limit_error", "rate_limit_exceeded", "requests", "tokens":
		return KindRateLimited
	case "not_found_error", "model_not_found":
		return KindNotFound
	case "invalid_request_error", "request_too_large", "context_length_exceeded":
		return KindInvalid
	case "timeout_error":
		return KindTimeout
	default:
		return KindServer
	}
}

// isFinal tells a spent budget, which comes with status 429, from a limit on the
// rate of requests.
func (s said) isFinal() bool { return s.code == "insufficient_quota" || s.code == "billing_error" }

var title = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

// pageTitle is the title of an HTML page, or the text when it is none.
func pageTitle(text string) string {
	if m := title.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	if strings.HasPrefix(strings.TrimSpace(text), "<") {
		return ""
	}
	return text
}

// maxRetryAfter bounds what a provider may ask for.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads how long to wait: seconds or a date (RFC 9110, 10.2.3), or the
// milliseconds that OpenAI sends beside them.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if d, ok := inUnits(h.Get("Retry-After-Ms"), time.Millisecond); ok {
		return d
	}
	if d, ok := inUnits(h.Get("Retry-After"), time.Second); ok {
		return d
	}
	if at, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		return min(max(0, at.Sub(now)), maxRetryAfter)
	}
	return 0
}

func inUnits(text string, unit time.Duration) (time.Duration, bool) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0) { // also refuses NaN
		return 0, false
	}
	return time.Duration(min(n, float64(maxRetryAfter/unit)) * float64(unit)), true
}
