package httpx

import (
	"bytes"
	"errors"
	"math"
	"regexp"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/g4fagent/g4fagent/internal/fault"
)

// What JSON may say and no store keeps is refused before anything else sees it:
// an event that was accepted can never be taken back, and a read model that
// cannot hold it would stand still at it for ever.
const (
	maxDepth  = 64
	maxNumber = 1e308
)

var (
	errInvalidJSON = fault.New(fault.Invalid, "invalid_json", "The body is not valid JSON.")
	errNotObject   = errInvalidJSON.Saying("The body is not a JSON object.")
	errDuplicate   = errInvalidJSON.Saying("The body has an object with the same name twice.")
	errSurrogate   = errInvalidJSON.Saying(`The body has half of a surrogate pair (\ud800 to \udfff), which is no character.`)
	errNUL         = errInvalidJSON.Saying(`The body has a NUL character (\u0000).`)
	errDepth       = errInvalidJSON.Saying("The body is nested deeper than %d levels.", maxDepth)
	errNumber      = errInvalidJSON.Saying("The body has a number beyond ±1e308.")
)

// surrogate is an escaped half of a pair: of syntax errors, it is one where the
// other half is missing.
var surrogate = regexp.MustCompile(`^\\u[dD][89a-fA-F][0-9a-fA-F]{2}`)

// storable reports why raw is not one JSON value (RFC 8259 as narrowed by RFC
// 7493: UTF-8 without lone surrogates, no name twice in an object, nothing
// behind the value) that every store can keep, or nil.
func storable(raw []byte) error {
	if !jsontext.Value(raw).IsValid() {
		return syntaxFault(raw)
	}
	return inspect(raw)
}

// syntaxFault reads invalid JSON again, slowly, to say where it is wrong.
func syntaxFault(raw []byte) error {
	decoder := jsontext.NewDecoder(bytes.NewReader(raw))
	_, err := decoder.ReadValue()
	if err == nil {
		_, err = decoder.ReadToken() // what stands behind the value
	}
	syntactic, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok { // io.ErrUnexpectedEOF: the value does not end
		return errInvalidJSON.With("offset", len(raw))
	}
	text := errInvalidJSON
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		text = errDuplicate
	case surrogate.Match(raw[min(int(syntactic.ByteOffset), len(raw)):]):
		text = errSurrogate
	}
	if name := fieldName(syntactic.JSONPointer); name != "" {
		text = text.With("field", name)
	}
	return text.With("offset", syntactic.ByteOffset)
}

// inspect looks at valid JSON for what a decoder takes and a store does not. It
// reads every byte once: being valid, raw needs no further grammar.
func inspect(raw []byte) error {
	escapes := bytes.IndexByte(raw, '\\') >= 0
	depth := 0
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '"':
			end, nul := stringEnd(raw, i+1, escapes)
			if nul {
				return errNUL.With("offset", i)
			}
			i = end
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return errDepth.With("offset", i)
			}
			i++
		case c == '}' || c == ']':
			depth--
			i++
		case c == '-' || '0' <= c && c <= '9':
			end := numberEnd(raw, i)
			if !representable(raw[i:end]) {
				return errNumber.With("offset", i)
			}
			i = end
		default:
			i++
		}
	}
	return nil
}

// stringEnd is the index behind the closing quote of the string whose content
// begins at i, and whether the string has an escaped NUL; a raw one is not
// valid JSON.
func stringEnd(raw []byte, i int, escapes bool) (end int, nul bool) {
	if !escapes {
		return i + bytes.IndexByte(raw[i:], '"') + 1, false
	}
	for raw[i] != '"' {
		if raw[i] != '\\' {
			i++
			continue
		}
		if bytes.HasPrefix(raw[i+1:], []byte("u0000")) {
			return i, true
		}
		i += 2
	}
	return i + 1, false
}

// numberEnd is the index behind the number that begins at i.
func numberEnd(raw []byte, i int) int {
	for i < len(raw) {
		switch c := raw[i]; {
		case '0' <= c && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
			i++
		default:
			return i
		}
	}
	return i
}

// representable reports whether a number lies within ±1e308. One without an
// exponent needs more than 308 digits to leave it, so nearly none is parsed.
func representable(number []byte) bool {
	if len(number) <= 308 && bytes.IndexByte(number, 'e') < 0 && bytes.IndexByte(number, 'E') < 0 {
		return true
	}
	value, err := strconv.ParseFloat(string(number), 64)
	return err == nil && math.Abs(value) <= maxNumber
}
