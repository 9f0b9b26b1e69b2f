package dialguard

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestSameHost(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		want bool
	}{
		{"http://a.test/x", "http://A.test/y", true},
		{"http://a.test", "http://a.test:80", true},
		{"http://a.test", "https://a.test", true},
		{"https://a.test", "http://a.test", false},
		{"http://a.test:8080", "https://a.test", false},
		{"http://a.test", "https://a.test:8443", false},
		{"https://a.test", "https://a.test:8443", false},
		{"https://a.test", "https://b.test", false},
		{"https://a.test", "https://a.test.evil.test", false},
	}
	for _, tt := range tests {
		a, b := mustURL(t, tt.a), mustURL(t, tt.b)
		if got := sameHost(a, b); got != tt.want {
			t.Errorf("sameHost(%s, %s) = %v", tt.a, tt.b, got)
		}
	}
}

func mustURL(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// redirects are two servers: home sends requests on, and away tells what reached it.
type redirects struct {
	home, away *httptest.Server
	arrived    chan arrival
}

type arrival struct {
	header http.Header
	body   string
}

func newRedirects(t *testing.T) *redirects {
	t.Helper()
	r := &redirects{arrived: make(chan arrival, 10)}
	arrive := func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.arrived <- arrival{req.Header, string(body)}
	}
	away := http.NewServeMux()
	away.HandleFunc("/end", arrive)
	away.HandleFunc("/back", func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, r.home.URL+"/end", http.StatusFound)
	})
	home := http.NewServeMux()
	home.HandleFunc("/end", arrive)
	home.HandleFunc("/near", func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "/end", http.StatusTemporaryRedirect)
	})
	home.HandleFunc("/far", func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, r.away.URL+"/end", http.StatusTemporaryRedirect)
	})
	home.HandleFunc("/there-and-back", func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, r.away.URL+"/back", http.StatusFound)
	})
	home.HandleFunc("/loop", func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "/loop", http.StatusFound)
	})
	home.HandleFunc("/file", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	})
	r.home, r.away = httptest.NewServer(home), httptest.NewServer(away)
	t.Cleanup(r.home.Close)
	t.Cleanup(r.away.Close)
	return r
}

func (r *redirects) call(t *testing.T, p Policy, method, path string) (arrival, error) {
	t.Helper()
	p.AllowLoopback = true
	req, err := http.NewRequestWithContext(t.Context(), method, r.home.URL+path, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer secret")
	req.Header.Set("X-Api-Key", "secret")
	req.Header.Set("Accept", "text/plain")
	res, err := Client(p).Do(req)
	if err != nil {
		return arrival{}, err
	}
	_ = res.Body.Close()
	return <-r.arrived, nil
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	cross := Policy{AllowCrossHost: true}
	tests := []struct {
		name         string
		policy       Policy
		method, path string
		err          error
		keepsAll     bool
	}{
		{"within the host keep the headers", Policy{}, http.MethodPost, "/near", nil, true},
		{"to another host are refused", Policy{}, http.MethodGet, "/far", ErrCrossHostRedirect, false},
		{"to another host lose credentials where allowed", cross, http.MethodGet, "/far", nil, false},
		{"to another host are refused for POST", cross, http.MethodPost, "/far", ErrCrossHostRedirect, false},
		{"that come back stay without credentials", cross, http.MethodGet, "/there-and-back", nil, false},
		{"without end are refused", Policy{}, http.MethodGet, "/loop", ErrTooManyRedirects, false},
		{"to a file are refused", cross, http.MethodGet, "/file", ErrRedirectScheme, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := newRedirects(t).call(t, tt.policy, tt.method, tt.path)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error = %v, want %v", err, tt.err)
			}
			if tt.err != nil {
				return
			}
			secrets := slices.ContainsFunc([]string{"Authorization", "X-Api-Key"}, func(k string) bool { return got.header.Get(k) != "" })
			if secrets != tt.keepsAll {
				t.Errorf("credentials arrived = %v: %v", secrets, got.header)
			}
			if (got.body == "body") != tt.keepsAll {
				t.Errorf("body = %q", got.body)
			}
			if got.header.Get("Accept") != "text/plain" {
				t.Errorf("the harmless header is gone: %v", got.header)
			}
		})
	}
}
