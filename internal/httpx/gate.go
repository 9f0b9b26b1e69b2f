package httpx

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/internal/fault"
)

var (
	errMissingBody    = fault.New(fault.Invalid, "missing_body", "This needs a JSON body.")
	errInvalidRequest = fault.New(fault.Invalid, "invalid_request", "The request does not fit the document.")
)

// receive takes the body in before anything decodes it. A JSON body is read
// whole, held to what can be stored and then to the document's schema; the same
// bytes go on to the generated code. Other bodies go on as they arrive.
func (e *edge) receive(x *exchange, held *holding) (io.ReadCloser, error) {
	r, o := x.r, x.operation
	if r.Body == nil || r.Body == http.NoBody {
		return r.Body, e.admissible(o, nil)
	}
	body := &arriving{src: r.Body, x: x, limit: o.maxBytes, window: e.limits.Read}
	switch o.Body {
	case api.RawBody:
		if r.ContentLength > o.maxBytes {
			return nil, errTooLarge.With("max_bytes", o.maxBytes)
		}
		return body, nil
	case api.NoBody:
		body.limit = maxIgnored
		return http.NoBody, body.drop()
	default:
		raw, err := body.all(r.ContentLength, held)
		if err != nil {
			return nil, err
		}
		if x.request.IdempotencyKey != "" {
			x.request.Input = raw
		}
		return newWhole(raw), e.admissible(o, raw)
	}
}

// admissible reports why raw is no body for o, or nil.
func (e *edge) admissible(o *operation, raw []byte) error {
	if o.Body != api.JSONBody {
		return nil
	}
	text := bytes.TrimSpace(raw)
	if len(text) == 0 {
		if o.BodyRequired {
			return errMissingBody
		}
		return nil
	}
	if err := storable(raw); err != nil {
		return err
	}
	if text[0] != '{' {
		return errNotObject
	}
	if o.BodyRequired && len(bytes.TrimSpace(text[1:len(text)-1])) == 0 {
		return errMissingBody
	}
	return e.validate(o.Name, raw)
}

// missing asks, after a body error and only then, whether the resources of the
// path exist: that they do not is the better answer, unless the document has the
// body looked at first.
func (e *edge) missing(c *gin.Context, x *exchange, err error) error {
	kind := fault.KindOf(err)
	if e.hooks.Exists == nil || x.operation.BodyFirst || len(c.Params) == 0 || (kind != fault.Invalid && kind != fault.TooLarge) {
		return err
	}
	params := make(map[string]string, len(c.Params))
	for _, p := range c.Params {
		params[p.Key] = p.Value
	}
	if absent := e.hooks.Exists(x.ctx, x.operation.Operation, params); fault.KindOf(absent) == fault.NotFound {
		return absent
	}
	return err
}

// decodeFault is what generated code reports when it cannot decode a body that
// passed the gate, which leaves types.
func decodeFault(err error) error {
	if known, ok := errors.AsType[*fault.Error](err); ok {
		return known
	}
	if errors.Is(err, io.EOF) {
		return errMissingBody
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		return errInvalidRequest.Saying("A member of the body has the wrong type.").With("field", fieldName(semantic.JSONPointer))
	}
	if _, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return errInvalidJSON
	}
	return errInvalidRequest
}

// fieldName is a JSON pointer as people write it: tags.1 for /tags/1.
func fieldName(pointer jsontext.Pointer) string {
	return strings.Join(slices.Collect(pointer.Tokens()), ".")
}

// parameterFault is what generated code reports about a parameter, with what the
// document says of it.
func (o *operation) parameterFault(err error) error {
	wrong, ok := errors.AsType[*api.ParameterError](err)
	if !ok {
		return errInvalidRequest
	}
	i := slices.IndexFunc(o.Parameters, func(p api.Parameter) bool { return p.Name == wrong.Name })
	if i < 0 {
		return errInvalidRequest.With("field", wrong.Name)
	}
	p := o.Parameters[i]
	reason := "must be " + p.Expected()
	for _, known := range []error{api.ErrAbsent, api.ErrUnstored} {
		if errors.Is(err, known) {
			reason = known.Error()
		}
	}
	return errInvalidRequest.Saying("The parameter %s %s: %s", p.Name, reason, p.Description).With("field", p.Name)
}
