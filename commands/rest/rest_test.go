package rest

import (
	"errors"
	"math"
	"testing"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]int64{
		`"0"`:                       0,
		` "7" `:                     7,
		api.ETag(math.MaxInt64):     math.MaxInt64,
		api.ETag(eventlog.NoStream): eventlog.NoStream,
		`"defaults"`:                eventlog.NoStream,
		`"-1"`:                      eventlog.NoStream, // as earlier versions called it
		`W/"7"`:                     math.MinInt64,
		"W/" + api.DefaultsTag:      math.MinInt64,
	} {
		if got, err := match(&header); err != nil || got == nil || *got != want {
			t.Errorf("%s is %v, %v; want %d", header, got, err, want)
		}
	}
	for _, any := range []*string{nil, new("*"), new(" * ")} {
		if got, err := match(any); err != nil || got != nil {
			t.Errorf("what matches any version is %v, %v", got, err)
		}
	}
	for _, header := range []string{``, `7`, `"7`, `"x"`, `"1", "2"`, `defaults`, `"Defaults"`} {
		if got, err := match(&header); !errors.Is(err, errIfMatch) {
			t.Errorf("%s is %v, %v", header, got, err)
		}
	}
}
