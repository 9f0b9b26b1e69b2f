package httpx

import (
	"net/http"

	"github.com/g4fagent/g4fagent/api"
)

// operation is what the document says about an operation, made ready.
type operation struct {
	api.Operation

	command  bool
	maxBytes int64
	places   []*gauge // that it takes while in flight
}

// operationOf makes o ready. Streams are counted apart; commands are counted
// among the requests too, but may not fill all of their places.
func (e *edge) operationOf(o api.Operation) *operation {
	ready := &operation{Operation: o, command: o.Method != http.MethodGet, maxBytes: o.MaxBytes}
	switch {
	case o.Stream:
		ready.places = []*gauge{e.streams}
	case ready.command:
		ready.places = []*gauge{e.requests, e.commands}
	default:
		ready.places = []*gauge{e.requests}
	}
	return ready
}
