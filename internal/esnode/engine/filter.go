package engine

import (
	"bytes"
	"regexp"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// Filter says which events of the whole log are wanted. It looks at an event's
// type, or at its stream's name. A link is judged as itself, not as its target.
type Filter struct {
	byStream bool
	prefixes [][]byte
	regex    *regexp.Regexp
}

// FilterOptions describe a filter: a regular expression (RE2, not anchored), or
// else prefixes, any of which will do.
type FilterOptions struct {
	ByStream bool
	Regex    string
	Prefixes []string
}

// NewFilter makes a filter. An error is an *InvalidError: a filter needs an
// expression, and RE2 has no look-around and no back-references.
func NewFilter(o FilterOptions) (*Filter, error) {
	f := &Filter{byStream: o.ByStream}
	if o.Regex != "" {
		regex, err := regexp.Compile(o.Regex)
		if err != nil {
			return nil, invalid("the filter's regular expression is not understood: %v", err)
		}
		f.regex = regex
		return f, nil
	}
	if len(o.Prefixes) == 0 {
		return nil, invalid("the filter has neither a regular expression nor a prefix")
	}
	for _, p := range o.Prefixes {
		f.prefixes = append(f.prefixes, []byte(p))
	}
	return f, nil
}

// wants is true for every event when there is no filter.
func (f *Filter) wants(e *storage.Event) bool {
	if f == nil {
		return true
	}
	text := e.Type
	if f.byStream {
		text = e.Stream
	}
	if f.regex != nil {
		return f.regex.Match(text)
	}
	for _, p := range f.prefixes {
		if bytes.HasPrefix(text, p) {
			return true
		}
	}
	return false
}
