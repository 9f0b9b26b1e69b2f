package eventschema

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// MaxDepth is how deep JSON may nest in an event.
const MaxDepth = 64

// MaxNumber bounds the numbers in an event: what passes is a number to every
// reader, Postgres included.
const MaxNumber = 1e308

// ErrNotStorable says that text or JSON could not be stored by every projector.
// It is found before anything is appended: an event that no read model can hold
// would stop that read model for good.
var ErrNotStorable = errors.New("not storable")

// Storable reports why raw could not be stored: invalid UTF-8, NUL, lone
// surrogates, nesting beyond MaxDepth, numbers beyond ±MaxNumber. The raw bytes
// must be one syntactically valid JSON value.
func Storable(raw []byte) error {
	if !utf8.Valid(raw) {
		return fmt.Errorf("invalid UTF-8: %w", ErrNotStorable)
	}
	depth := 0
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '"':
			n, err := scanString(raw[i:])
			if err != nil {
				return err
			}
			i += n
			continue
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("nested deeper than %d: %w", MaxDepth, ErrNotStorable)
			}
		case c == '}' || c == ']':
			depth--
		case c == '-' || c >= '0' && c <= '9':
			n, err := scanNumber(raw[i:])
			if err != nil {
				return err
			}
			i += n
			continue
		}
		i++
	}
	return nil
}

// scanString is the length of the JSON string at the start of raw. It looks at
// the escapes themselves, since decoding replaces a lone surrogate silently.
func scanString(raw []byte) (int, error) {
	for i := 1; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			return i + 1, nil
		case '\\':
			n, err := scanEscape(raw[i:])
			if err != nil {
				return 0, err
			}
			i += n - 1
		}
	}
	return 0, fmt.Errorf("unterminated string: %w", ErrNotStorable)
}

func scanEscape(raw []byte) (int, error) {
	unit := codeUnit(raw)
	switch {
	case unit < 0:
		return 2, nil
	case unit == 0:
		return 0, fmt.Errorf("NUL: %w", ErrNotStorable)
	case unit < 0xd800 || unit > 0xdfff:
		return 6, nil
	case unit < 0xdc00:
		if low := codeUnit(raw[6:]); low >= 0xdc00 && low <= 0xdfff {
			return 12, nil
		}
	}
	return 0, fmt.Errorf("lone surrogate: %w", ErrNotStorable)
}

// codeUnit is the UTF-16 code unit of the \uXXXX at the start of raw, or -1.
func codeUnit(raw []byte) int64 {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(raw[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return int64(n)
}

func scanNumber(raw []byte) (int, error) {
	n, plain := 1, true
	for n < len(raw) && isNumberByte(raw[n]) {
		plain = plain && raw[n] != 'e' && raw[n] != 'E'
		n++
	}
	if plain && n <= 300 {
		return n, nil
	}
	f, err := strconv.ParseFloat(string(raw[:n]), 64)
	if err != nil || math.Abs(f) > MaxNumber {
		return 0, fmt.Errorf("number out of range: %w", ErrNotStorable)
	}
	return n, nil
}

func isNumberByte(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}
