package httpx

import (
	"net/http"
	"slices"
	"strings"
)

const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	corsHeaders = "Authorization, Content-Type, Idempotency-Key, If-Match, Last-Event-ID, X-Min-Position, X-Request-Id"
	corsExposes = "Age, ETag, Idempotency-Replayed, Retry-After, X-Commit-Position, X-Read-Model, X-Request-Id"
	corsMaxAge  = "600"
)

// cors lets browsers of the given origins use the API (the Fetch standard's CORS
// protocol). Credentials are never allowed: the API knows no cookies, so there
// is nothing that a foreign page could use without having it.
type cors struct {
	any     bool
	origins []string
}

// newCORS takes the origins that may use the API: nil or "*" is any, an empty
// list none.
func newCORS(origins []string) cors {
	return cors{any: origins == nil || slices.Contains(origins, "*"), origins: origins}
}

// allow writes the headers for a request from origin and reports whether it may.
func (c cors) allow(header http.Header, origin string) bool {
	switch {
	case c.any:
		header.Set("Access-Control-Allow-Origin", "*")
	case len(c.origins) == 0:
		return false
	default:
		header.Add("Vary", "Origin")
		same := func(o string) bool { return strings.EqualFold(o, origin) }
		if origin == "" || !slices.ContainsFunc(c.origins, same) {
			return false
		}
		header.Set("Access-Control-Allow-Origin", origin)
	}
	header.Set("Access-Control-Expose-Headers", corsExposes)
	return true
}

// preflight answers OPTIONS: with 204 at any path, so that it tells nothing
// about what is there.
func (c cors) preflight(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	if c.allow(header, r.Header.Get("Origin")) {
		header.Set("Access-Control-Allow-Methods", corsMethods)
		header.Set("Access-Control-Allow-Headers", corsHeaders)
		header.Set("Access-Control-Max-Age", corsMaxAge)
	}
	w.WriteHeader(http.StatusNoContent)
}
