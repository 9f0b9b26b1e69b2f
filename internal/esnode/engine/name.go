package engine

import (
	"strings"
	"unicode/utf8"
)

const metaPrefix = "$$"

// metaOf is the stream that holds a stream's metadata.
func metaOf(stream string) string { return metaPrefix + stream }

// ownerOf is the stream whose metadata this one holds, and false if it holds
// nobody's.
func ownerOf(stream string) (string, bool) {
	return strings.CutPrefix(stream, metaPrefix)
}

func checkName(stream string) error {
	switch {
	case stream == "":
		return invalid("the stream's name is empty")
	case stream == metaPrefix:
		return invalid("%q is not a stream's name", stream)
	case !utf8.ValidString(stream):
		return invalid("the stream's name is not UTF-8")
	}
	return nil
}
