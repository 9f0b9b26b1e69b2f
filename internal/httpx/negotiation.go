package httpx

import (
	"net/http"
	"strings"

	"github.com/munnerz/goautoneg"
)

// prefersProblem reports whether the client ranks application/problem+json
// (RFC 9457) above application/json: only then does it get it, since a client
// that takes both was written for the envelope.
func prefersProblem(header http.Header) bool {
	accept := strings.ToLower(strings.Join(header["Accept"], ","))
	if !strings.Contains(accept, "problem+json") {
		return false
	}
	return quality(accept, "problem+json") > quality(accept, "json")
}

// quality is the weight that an Accept header gives to application/subtype: that
// of its most specific range which matches (RFC 9110, 12.5.1).
func quality(accept, subtype string) float64 {
	q, best := 0.0, -1
	for _, clause := range goautoneg.ParseAccept(accept) {
		specific := -1
		switch {
		case clause.Type == "application" && clause.SubType == subtype:
			specific = 2
		case clause.Type == "application" && clause.SubType == "*":
			specific = 1
		case clause.Type == "*" && clause.SubType == "*":
			specific = 0
		}
		if specific > best {
			q, best = clause.Q, specific
		}
	}
	return q
}
