package password_test

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/text/cases"

	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/password"
)

func TestRules(t *testing.T) {
	t.Parallel()
	email, name := "Alice.Liddell@example.org", "Alice Liddell"

	accepted := map[string]string{
		"a phrase":                    "the walrus and the carpenter",
		"the least there may be":      "tr0ubad!",
		"the most there may be":       strings.Repeat("walrus 7", 16),
		"another script":              "съешь ещё этих булок",
		"characters beyond the plane": "🦭🦪🦭🦪walrus",
		"the name within a phrase":    "alice liddell likes oysters",
		"a common one within another": "mock turtle password soup",
		"digits without an order":     "73904815",
		"spaces around":               "  oyster  ",
	}
	for what, text := range accepted {
		t.Run(what+" is accepted", func(t *testing.T) {
			t.Parallel()
			if err := (password.Rules{}).Check(text, email, name, ""); err != nil {
				t.Errorf("Check: %v", err)
			}
		})
	}

	refused := map[string]string{
		"nothing":                         "",
		"too few characters":              "walrus!",
		"too few, although many bytes":    "булки42",
		"too many characters":             strings.Repeat("walrus 7", 16) + "!",
		"a control character":             "walrus\x07oyster",
		"a line break":                    "walrus\noyster",
		"one character":                   "zzzzzzzzzzzz",
		"one character of many bytes":     "ёёёёёёёёёё",
		"digits in order":                 "12345678",
		"digits in order, twice":          "1234567812345678",
		"digits backwards":                "9876543210",
		"letters in order":                "abcdefghij",
		"a row of keys":                   "qwertyuiop",
		"a row of keys, backwards":        "lkjhgfdsa",
		"a few keys again and again":      "qweqweqweqwe",
		"a common one":                    "baseball",
		"a common one in capitals":        "PASSWORD",
		"a common one in wide letters":    "ｐａｓｓｗｏｒｄ",
		"a common one with a year":        "Password2026!",
		"a common one after signs":        "**swordfish**",
		"the program's name":              "g4fagent",
		"the address":                     "alice.liddell@EXAMPLE.org",
		"the address's local part":        "Alice.Liddell",
		"the local part with digits":      "alice.liddell99",
		"the name":                        "alice liddell",
		"the name in one":                 "AliceLiddell1",
		"a word of the name, with a year": "Liddell-1862",
	}
	for what, text := range refused {
		t.Run(what+" is refused", func(t *testing.T) {
			t.Parallel()
			err := (password.Rules{}).Check(text, email, name)
			known, ok := errors.AsType[*fault.Error](err)
			if !ok || known.Kind != fault.Invalid || known.Code != "invalid_request" || known.Details["field"] != "password" {
				t.Fatalf("Check answers %v", err)
			}
			if text != "" && strings.Contains(known.Text, text) {
				t.Errorf("the answer repeats the password: %s", known.Text)
			}
		})
	}

	t.Run("a name in wide letters is the name", func(t *testing.T) {
		t.Parallel()
		if (password.Rules{}).Check("liddell-1862", "Ｌｉｄｄｅｌｌ") == nil {
			t.Error("the name is accepted")
		}
	})

	t.Run("characters count as they are hashed, not as they are typed", func(t *testing.T) {
		t.Parallel()
		if (password.Rules{}).Check("e\u0301e\u0300e\u0302y7") == nil {
			t.Error("five letters, eight characters with their accents, are accepted")
		}
	})

	t.Run("an installation can ask for more", func(t *testing.T) {
		t.Parallel()
		rules := password.Rules{MinLength: 15}
		if err := rules.Check("only 14 chars!"); err == nil || !strings.Contains(err.Error(), "15") {
			t.Errorf("14 characters: %v", err)
		}
		if err := rules.Check("these are 15 ch"); err != nil {
			t.Errorf("15 characters: %v", err)
		}
	})
}

func TestCommonPasswords(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("common.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		word := strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(word, "#") {
			continue
		}
		n++
		if word != cases.Fold().String(word) || len(word) < password.DefaultMinLength {
			t.Errorf("%q can never match: it is not folded, or too short anyway", word)
		}
		if (password.Rules{}).Check(strings.ToUpper(word)) == nil {
			t.Errorf("%q is accepted", word)
		}
	}
	if n < 200 {
		t.Errorf("the list has %d lines", n)
	}
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		text, err := password.Generate()
		if err != nil {
			t.Fatal(err)
		}
		if seen[text] || !regexp.MustCompile(`^([a-z2-7]{4}-){7}[a-z2-7]{4}$`).MatchString(text) {
			t.Errorf("the password is %q", text)
		}
		seen[text] = true
		if err := (password.Rules{MinLength: 20}).Check(text); err != nil {
			t.Errorf("%q is refused: %v", text, err)
		}
	}
}
