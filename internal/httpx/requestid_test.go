package httpx

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestRequestID(t *testing.T) {
	t.Parallel()
	made := regexp.MustCompile(`^req_[0-9a-f]{32}$`)
	for _, tc := range []struct {
		name string
		sent []string
		kept bool
	}{
		{"is the client's", []string{"abc-1/2~"}, true},
		{"may have 128 characters", []string{strings.Repeat("x", 128)}, true},
		{"may not have 129", []string{strings.Repeat("x", 129)}, false},
		{"may not be empty", []string{""}, false},
		{"may not have a space", []string{"a b"}, false},
		{"may not break a line", []string{"a\nb"}, false},
		{"may not leave ASCII", []string{"ä"}, false},
		{"may not be two", []string{"a", "b"}, false},
		{"is made when there is none", nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := requestID(http.Header{"X-Request-Id": tc.sent})
			if tc.kept && got != tc.sent[0] {
				t.Errorf("got %q, want %q", got, tc.sent[0])
			}
			if !tc.kept && !made.MatchString(got) {
				t.Errorf("got %q, want one of ours", got)
			}
		})
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		sent []string
		ok   bool
	}{
		{"may be missing", nil, true},
		{"may have 255 characters", []string{strings.Repeat("k", 255)}, true},
		{"may not have 256", []string{strings.Repeat("k", 256)}, false},
		{"may not be empty", []string{""}, false},
		{"may not be two", []string{"a", "a"}, false},
		{"may not have a space", []string{"a b"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := idempotencyKey(http.Header{"Idempotency-Key": tc.sent})
			if (err == nil) != tc.ok {
				t.Fatalf("error %v", err)
			}
			if tc.ok && got != strings.Join(tc.sent, "") {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestTraceID(t *testing.T) {
	t.Parallel()
	const id = "0af7651916cd43dd8448eb211c80319c"
	for sent, want := range map[string]string{
		"":                                  "",
		"00-" + id + "-b7ad6b7169203331-01": id,
		"00-" + id + "-b7ad6b7169203331-00": id,
		"00-" + strings.ToUpper(id) + "-b7ad6b7169203331-01":     "",
		"00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01": "",
		"ff-" + id + "-b7ad6b7169203331-01":                      "",
		"nonsense":                                               "",
	} {
		header := http.Header{}
		if sent != "" {
			header.Set("Traceparent", sent)
		}
		if got := traceID(header); got != want {
			t.Errorf("%q: got %q, want %q", sent, got, want)
		}
	}
}
