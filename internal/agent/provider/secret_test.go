package provider_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/g4fagent/g4fagent/internal/agent/provider"
)

const (
	secretKey    = "sk-proj-Zq8Xw2Lr7Tn4Vb9Yc3Md6Kf1Hj5Gp0Es"
	secretHeader = "Token tEnAnT-5f3b9c7e1d2a4b6c8e0f"
	secretQuery  = "qu3ry/s3cr3t+v4lu3=="
)

// leaks are pieces of the secrets, of which none may be told.
var leaks = []string{"Zq8Xw2Lr7Tn4", "Vb9Yc3Md6Kf1", "Hj5Gp0Es", "tEnAnT-5f3b9", "7e1d2a4b6c8e0f", "s3cr3t"}

func noLeak(t *testing.T, what string, err error) {
	t.Helper()
	e := fault(t, err)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Error("x", slog.Any("err", err))
	asJSON, _ := json.Marshal(e)
	shown := fmt.Sprintf("%v|%+v|%#v|%#v|%s|%s|%q", err, err, err, *e, asJSON, log.String(), e.Message)
	for _, leak := range leaks {
		if strings.Contains(strings.ToLower(shown), strings.ToLower(leak)) {
			t.Errorf("%s tells %q: %s", what, leak, shown)
		}
	}
}

// TestNoErrorTellsASecret has a server that echoes what it got in every way that
// it can fail.
func TestNoErrorTellsASecret(t *testing.T) {
	t.Parallel()
	echoes := map[string]string{
		"whole":         secretKey + " " + secretHeader + " " + secretQuery,
		"upper case":    strings.ToUpper(secretKey + " " + secretHeader),
		"the beginning": "Incorrect API key provided: " + secretKey[:24] + "...",
		"the end":       "Incorrect API key provided: ****" + secretKey[12:] + ".",
		"in a word":     `{"Authorization":["Bearer ` + secretKey + `"],"x-tenant":"` + secretHeader + `"}`,
		"in a URL":      "http://h/?key=" + url.QueryEscape(secretQuery) + "&k2=" + secretQuery + "&token=" + secretKey,
		"split":         secretHeader[:20] + "\x00" + "\n\t" + secretKey + "\u200b",
		"with filler":   secretKey[:10] + "\u200b" + secretKey[10:],
		"past a cut":    strings.Repeat(" ", 4<<10-20) + secretKey + secretHeader,
	}
	quoted := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	fail := map[string]func(w http.ResponseWriter, dialect, echo string){
		"an error response": func(w http.ResponseWriter, _, echo string) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":{"message":`+quoted(echo)+`,"type":"authentication_error","code":`+quoted(echo)+`}}`)
		},
		"plain text": func(w http.ResponseWriter, _, echo string) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, echo)
		},
		"a web page": func(w http.ResponseWriter, _, echo string) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<title>"+echo+"</title>")
		},
		"an error event": func(w http.ResponseWriter, _, echo string) {
			sse(w, `{"type":"error","error":{"type":"api_error","message":`+quoted(echo)+`}}`)
		},
		"an event that is no JSON": func(w http.ResponseWriter, dialect, echo string) {
			sse(w, text(dialect, "Hi"), `{"type":"content_block_delta" `+strings.ReplaceAll(echo, "\n", ""))
		},
		"a redirect": func(w http.ResponseWriter, _, echo string) {
			w.Header().Set("Location", "http://elsewhere.test/?"+url.QueryEscape(echo))
			w.WriteHeader(http.StatusTemporaryRedirect)
		},
		"a broken header": func(w http.ResponseWriter, _, echo string) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 "+strings.ReplaceAll(echo, "\n", "")+"\r\n\r\n")
			_ = conn.Close()
		},
	}
	for _, dialect := range dialects {
		for how, write := range fail {
			for what, echo := range echoes {
				t.Run(dialect+": "+how+" echoes "+what, func(t *testing.T) {
					t.Parallel()
					base := fake(t, func(w http.ResponseWriter, r *http.Request) {
						if got := r.Header.Get("X-Tenant"); got != secretHeader {
							t.Errorf("the header that is to be echoed is %q", got)
						}
						write(w, dialect, echo)
					})
					c := newClient(t, provider.Config{
						ID: dialect, APIKey: secretKey, Headers: map[string]string{"X-Tenant": secretHeader, "X-Flag": "1"},
						BaseURL: base + "?key=" + url.QueryEscape(secretQuery),
					})
					_, err := read(t, c, hello())
					noLeak(t, "Stream", err)
					if how != "an error event" && how != "an event that is no JSON" {
						noLeak(t, "Ping", c.Ping(t.Context()))
					}
					_, err = c.Test(t.Context(), "m")
					noLeak(t, "Test", err)
				})
			}
		}
	}
}

// TestNoNetworkErrorTellsASecret fails before there is a response: net/http's own
// error quotes the URL with its query.
func TestNoNetworkErrorTellsASecret(t *testing.T) {
	t.Parallel()
	for _, dialect := range dialects {
		for _, base := range []string{"http://127.0.0.1:1", "http://no-such-host.invalid", "http://169.254.169.254"} {
			c := newClient(t, provider.Config{
				ID: dialect, APIKey: secretKey, BaseURL: base + "?key=" + url.QueryEscape(secretQuery),
				Headers: map[string]string{"X-Basic": base64.StdEncoding.EncodeToString([]byte(secretHeader))},
			})
			noLeak(t, "Ping", c.Ping(t.Context()))
			_, err := read(t, c, hello())
			noLeak(t, "Stream", err)
		}
	}
}
