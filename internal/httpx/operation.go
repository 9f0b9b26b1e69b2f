package httpx

import (
	"net/http"

	"github.com/g4fagent/g4fagent/internal/identity"
)

// Operation is one operation of the document.
type Operation struct {
	ID, Name, Method, Path string
	Permission             identity.Permission
	MaxBytes               int64
	BodyFirst, Public      bool
	Body                   bodyKind
	Required               bool
	Stream                 bool
}

// defaultMaxBytes bounds a body whose operation has no x-max-bytes.
const defaultMaxBytes = 1 << 20

// bodyKind is what an operation takes as its body.
type bodyKind uint8

const (
	noBody   bodyKind = iota
	jsonBody          // read whole, checked, decoded
	rawBody           // handed on as it arrives
)

// operation is what the document says about an operation, made ready.
type operation struct {
	Operation

	public, command, stream, required bool
	permission                        identity.Permission
	maxBytes                          int64
	body                              bodyKind
	places                            []*gauge // that it takes while in flight
}

// operationOf makes o ready: streams are counted apart, and commands also among
// the requests.
func (e *edge) operationOf(o Operation) *operation {
	ready := &operation{
		Operation: o, public: o.Public, stream: o.Stream, required: o.Required, permission: o.Permission,
		command: o.Method != http.MethodGet, maxBytes: o.MaxBytes, body: o.Body,
	}
	orDefault(&ready.maxBytes, defaultMaxBytes)
	switch {
	case ready.stream:
		ready.places = []*gauge{e.streams}
	case ready.command:
		ready.places = []*gauge{e.requests, e.commands}
	default:
		ready.places = []*gauge{e.requests}
	}
	return ready
}
