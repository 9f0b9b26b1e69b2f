package api_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/g4fagent/g4fagent/api"
)

func get(t *testing.T, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	h, ok := api.Pages()[path]
	if !ok {
		t.Fatalf("there is no %s", path)
	}
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPages(t *testing.T) {
	t.Parallel()

	t.Run("the document is served as it is", func(t *testing.T) {
		t.Parallel()
		for path, want := range map[string]string{"/openapi.json": string(api.JSON()), "/openapi.yaml": string(api.YAML())} {
			if got := get(t, path); got.Code != 200 || got.Body.String() != want {
				t.Errorf("%s: %d, %d bytes", path, got.Code, got.Body.Len())
			}
		}
	})

	t.Run("what the page loads is served beside it, and nothing comes from elsewhere", func(t *testing.T) {
		t.Parallel()
		page := get(t, "/docs")
		loaded := regexp.MustCompile(`(?:src|href|spec-url)="([^"]*)"`).FindAllStringSubmatch(page.Body.String(), -1)
		if len(loaded) < 2 {
			t.Fatalf("the page loads only %v", loaded)
		}
		for _, l := range loaded {
			if l[1] != "data:," && api.Pages()[l[1]] == nil {
				t.Errorf("the page loads %s", l[1])
			}
		}
		policy := page.Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "http") || strings.Contains(policy, "unsafe-eval") {
			t.Errorf("the page may %s", policy)
		}
	})

	t.Run("the script is the same, compressed or not", func(t *testing.T) {
		t.Parallel()
		plain, packed := get(t, "/docs/redoc.js"), get(t, "/docs/redoc.js", "Accept-Encoding", "br, gzip")
		if packed.Header().Get("Content-Encoding") != "gzip" || plain.Header().Get("Content-Encoding") != "" {
			t.Fatalf("encodings %v, %v", packed.Header(), plain.Header())
		}
		unpacked, err := gzip.NewReader(packed.Body)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(unpacked)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "cdn.redoc.ly") {
			t.Error("the script loads its logo from elsewhere")
		}
		if string(text) != plain.Body.String() || !strings.Contains(string(text), "Redoc") {
			t.Errorf("%d and %d bytes", len(text), plain.Body.Len())
		}
		if plain.Header().Get("ETag") == packed.Header().Get("ETag") {
			t.Error("two representations have one ETag")
		}
	})

	t.Run("what the browser has is not sent again", func(t *testing.T) {
		t.Parallel()
		for path := range api.Pages() {
			etag := get(t, path).Header().Get("ETag")
			if again := get(t, path, "If-None-Match", etag); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
				t.Errorf("%s: %d, %d bytes", path, again.Code, again.Body.Len())
			}
		}
	})
}
