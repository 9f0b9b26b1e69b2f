package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"time"
)

var (
	//go:embed page/index.html
	pageHTML []byte
	//go:embed page/redoc.standalone.js.gz
	redocGzip []byte
)

// pagePolicy lets the page run its own script, that script style the page, draw
// and search in a worker, and nothing reach another server.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Pages are the document for people and for programs, by the exact path that each
// has to be served at: /openapi.json, /openapi.yaml, and /docs with its script.
// They answer GET and HEAD, know If-None-Match, and refer to no other server.
func Pages() map[string]http.Handler {
	return map[string]http.Handler{
		"/openapi.json":  asset("application/json", JSON()),
		"/openapi.yaml":  asset("application/yaml", YAML()),
		"/docs":          withPolicy(asset("text/html; charset=utf-8", pageHTML)),
		"/docs/redoc.js": compressed("text/javascript; charset=utf-8", redocGzip),
	}
}

func asset(contentType string, body []byte) http.Handler {
	etag := entityTag(body)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header(w.Header(), contentType, etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
}

// compressed serves what is stored under gzip, unpacked for whoever does not take
// that.
func compressed(contentType string, packed []byte) http.Handler {
	etag := entityTag(packed)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header(w.Header(), contentType, etag)
		w.Header().Set("Vary", "Accept-Encoding")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(packed))
			return
		}
		unpacked, err := unpack(packed)
		if err != nil {
			http.Error(w, "The script cannot be unpacked.", http.StatusInternalServerError)
			return
		}
		w.Header().Set("ETag", entityTag(unpacked))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(unpacked))
	})
}

func header(h http.Header, contentType, etag string) {
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-cache") // kept, and asked about each time
	h.Set("ETag", etag)
}

func withPolicy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", pagePolicy)
		next.ServeHTTP(w, r)
	})
}

func unpack(packed []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}

func entityTag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}
