package api

import (
	"regexp"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// notBlank is the document's pattern for text that is more than space.
const notBlank = `\S`

// blankless is notBlank as JSON Schema means it: ECMAScript's \S knows Unicode's
// spaces, RE2's does not.
type blankless struct{}

func (blankless) MatchString(s string) bool { return strings.TrimSpace(s) != "" }
func (blankless) String() string            { return notBlank }

func compilePattern(pattern string) (jsonschema.Regexp, error) {
	if pattern == notBlank {
		return blankless{}, nil
	}
	return regexp.Compile(pattern)
}
