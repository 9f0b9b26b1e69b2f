package provider

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// redactWindow is how many bytes in a row of a secret count as telling it.
	redactWindow = 12
	// Secrets shorter than this would be found in any text.
	minSecret = 4
	// quoteLimit bounds what is quoted of a provider's words, in runes.
	quoteLimit = 300
	// readLimit bounds what is looked at to find them, in bytes.
	readLimit = 4 << 10

	redacted = "[redacted]"
)

// redactor takes secrets out of what a provider says, since some echo the key
// they refuse, whole or cut.
type redactor struct {
	needles []string // lower case
	tiny    []string // lower case; a text that holds one is not quoted at all
}

func newRedactor(secrets ...string) redactor {
	var r redactor
	for _, s := range secrets {
		s = strings.ToLower(s)
		r.add(s)
		if words := strings.Fields(s); len(words) > 1 {
			for _, word := range words {
				r.add(word)
			}
		}
	}
	return r
}

func (r *redactor) add(secret string) {
	switch {
	case secret == "":
	case len(secret) < minSecret:
		r.tiny = append(r.tiny, secret)
	case len(secret) <= redactWindow:
		r.needles = append(r.needles, secret)
	default:
		for i := 0; i+redactWindow <= len(secret); i++ {
			r.needles = append(r.needles, secret[i:i+redactWindow])
		}
	}
}

// quote makes text fit to be shown: one bounded line of printable characters
// without secrets. Words that hold a part of a secret go as a whole.
func (r redactor) quote(text string) string {
	text = head(text)
	lower := strings.ToLower(text)
	for _, s := range r.tiny {
		if strings.Contains(lower, s) {
			return ""
		}
	}
	return truncate(r.withoutSecrets(text, lower), quoteLimit)
}

// withoutSecrets needs lower to be text in lower case. Where that changed the
// length (it does in a few scripts), lower is what is shown.
func (r redactor) withoutSecrets(text, lower string) string {
	if len(lower) != len(text) {
		text = lower
	}
	hidden := make([]bool, len(text))
	found := false
	for _, needle := range r.needles {
		for from := 0; ; {
			i := strings.Index(lower[from:], needle)
			if i < 0 {
				break
			}
			found = true
			for j := range len(needle) {
				hidden[from+i+j] = true
			}
			from += i + 1
		}
	}
	if !found {
		return text
	}
	return hideWords(text, hidden)
}

// hideWords replaces each word of text that has a hidden byte.
func hideWords(text string, hidden []bool) string {
	var out strings.Builder
	for i := 0; i < len(text); {
		end := i
		for end < len(text) && text[end] != ' ' {
			end++
		}
		if anyTrue(hidden[i:end]) {
			out.WriteString(redacted)
		} else {
			out.WriteString(text[i:end])
		}
		if end < len(text) {
			out.WriteByte(' ')
			end++
		}
		i = end
	}
	return out.String()
}

func anyTrue(list []bool) bool {
	for _, b := range list {
		if b {
			return true
		}
	}
	return false
}

// head is text's printable beginning. Where it must cut it leaves out the word
// that it cut: half a secret would not be recognized.
func head(text string) string {
	if len(text) <= readLimit {
		return printable(text)
	}
	text = printable(text[:readLimit])
	return text[:max(0, strings.LastIndexByte(text, ' '))]
}

// printable is text as one line: valid UTF-8, control characters and runs of
// white space made one space.
func printable(text string) string {
	text = strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c), unicode.IsControl(c):
			return ' '
		case c == utf8.RuneError, !unicode.IsPrint(c):
			return -1
		default:
			return c
		}
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

func truncate(text string, runes int) string {
	for i := range text {
		if runes == 0 {
			return text[:i] + "…"
		}
		runes--
	}
	return text
}
