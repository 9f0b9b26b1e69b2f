package httpx

import (
	"net/http"
	"testing"
)

func TestPrefersProblem(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		accept []string
		want   bool
	}{
		{nil, false},
		{[]string{"*/*"}, false},
		{[]string{"application/*"}, false},
		{[]string{"application/json"}, false},
		{[]string{"application/problem+json"}, true},
		{[]string{"Application/Problem+JSON"}, true},
		{[]string{"application/problem+json, application/json"}, false},
		{[]string{"application/problem+json", "application/json;q=0.9"}, true},
		{[]string{"application/problem+json;q=0.5, application/json;q=0.6"}, false},
		{[]string{"application/problem+json;q=0.5, application/json; q=0.4"}, true},
		{[]string{"application/problem+json;q=0.5, */*"}, false},
		{[]string{"application/problem+json, */*;q=0.1"}, true},
		{[]string{"application/problem+json, */*"}, false},
		{[]string{"application/problem+json;q=0"}, false},
		{[]string{"text/html, application/problem+json;q=0.9, application/json;q=0"}, true},
		{[]string{"application/json;charset=utf-8, application/problem+json;q=0.9"}, false},
		{[]string{";;;,,,problem+json"}, false},
	} {
		if got := prefersProblem(http.Header{"Accept": tc.accept}); got != tc.want {
			t.Errorf("%q: got %v, want %v", tc.accept, got, tc.want)
		}
	}
}
