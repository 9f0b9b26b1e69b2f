package password

import (
	_ "embed"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/g4fagent/g4fagent/internal/fault"
)

const (
	// DefaultMinLength is the least that NIST SP 800-63B-4 (3.1.1.2) allows for
	// any password. It asks for 15 where a password is all there is: Rules can.
	DefaultMinLength = 8
	// MaxLength is in characters; the same paragraph asks for at least 64.
	MaxLength = 128
)

var errRefused = fault.New(fault.Invalid, "invalid_request", "The password cannot be used.").With("field", "password")

// Rules are what a new password must satisfy. Following NIST SP 800-63B-4
// (3.1.1.2) they ask for length and for nothing of the composition, and compare
// the whole password, not parts of it, with what everybody tries first.
type Rules struct {
	// MinLength is in characters (Unicode code points): DefaultMinLength when
	// zero.
	MinLength int
}

// Check judges a new password for the account that hints describe: its e-mail
// address, its name. It fails with an Invalid fault that names the field and says
// what to do, and never repeats the password.
func (r Rules) Check(password string, hints ...string) error {
	least := r.MinLength
	if least <= 0 {
		least = DefaultMinLength
	}
	password = norm.NFKC.String(password)
	switch length := utf8.RuneCountInString(password); {
	case length < least:
		return errRefused.Saying("The password is too short: use at least %d characters.", least)
	case length > MaxLength:
		return errRefused.Saying("The password is too long: use at most %d characters.", MaxLength)
	case strings.ContainsFunc(password, unicode.IsControl):
		return errRefused.Saying("The password holds a control character, which not every keyboard can type.")
	case isRun(password):
		return errRefused.Saying("The password is one character repeated, or a row of the keyboard or the alphabet.")
	}
	folded := fold(password)
	if isCommon(folded) {
		return errRefused.Saying("The password is one of those that are tried first. Choose another.")
	}
	for _, hint := range hints {
		if resembles(folded, hint) {
			return errRefused.Saying("The password is the account's own name or e-mail address. Choose another.")
		}
	}
	return nil
}

// fold makes passwords that differ in case or width equal.
func fold(text string) string { return cases.Fold().String(norm.NFKC.String(text)) }

// bare is text without the digits and signs that people put around a word.
func bare(text string) string {
	return strings.TrimFunc(text, func(r rune) bool { return !unicode.IsLetter(r) })
}

//go:embed common.txt
var commonText string

// isCommon looks in the list of common passwords, which is short enough to be
// read each time: hashing the password takes a thousand times as long.
func isCommon(folded string) bool {
	word := bare(folded)
	for line := range strings.Lines(commonText) {
		if line = strings.TrimSuffix(line, "\n"); line == folded || line == word {
			return true
		}
	}
	return false
}

// leastWord is the length from which a word is worth comparing without the
// digits and signs around it.
const leastWord = 3

// resembles reports whether a folded password is the hint, its local part or one
// of its words, digits and signs around it aside.
func resembles(folded, hint string) bool {
	hint = fold(strings.TrimSpace(hint))
	local, _, _ := strings.Cut(hint, "@")
	words := append(strings.Fields(hint), hint, local, strings.Join(strings.Fields(hint), ""))
	return slices.ContainsFunc(words, func(word string) bool {
		return word == folded || (len(bare(word)) >= leastWord && bare(word) == bare(folded))
	})
}

// rows are what fingers run along.
var rows = []string{
	"abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "azertyuiop",
	"qwertyuiopasdfghjklzxcvbnm",
}

// isRun reports whether password is one character repeated, or a stretch of a
// row, forwards or backwards, repeated or not.
func isRun(password string) bool {
	folded := fold(password)
	for _, row := range rows {
		if along(folded, row) || along(folded, reversed(row)) {
			return true
		}
	}
	first, _ := utf8.DecodeRuneInString(folded)
	return strings.Trim(folded, string(first)) == ""
}

// along reports whether text goes along the row again and again.
func along(text, row string) bool {
	if strings.Contains(row, text) {
		return true
	}
	for period := 2; period <= len(text)/2; period++ {
		if strings.Contains(row, text[:period]) && text == repeated(text[:period], len(text)) {
			return true
		}
	}
	return false
}

func repeated(text string, length int) string {
	return strings.Repeat(text, length/len(text)+1)[:length]
}

func reversed(text string) string {
	b := []byte(text)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}
