package engine

import (
	"strings"
	"unicode/utf8"
)

const metaPrefix = "$$"

// maxName bounds a stream's name in bytes. EventStoreDB has no bound of its own,
// but keys are held in memory as a whole.
const maxName = 64 << 10

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
	case len(stream) > maxName:
		return invalid("the stream's name has %d bytes, it must have at most %d", len(stream), maxName)
	case !utf8.ValidString(stream):
		return invalid("the stream's name is not UTF-8")
	}
	return nil
}
