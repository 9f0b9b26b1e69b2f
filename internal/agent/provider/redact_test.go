package provider

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestQuote(t *testing.T) {
	t.Parallel()
	r := newRedactor("sk-1234567890abcdef", "Token shortsec", "", "wxyz")
	tests := []struct{ name, text, want string }{
		{"nothing to hide", "model not found: gpt-4", "model not found: gpt-4"},
		{"a whole key", "bad key sk-1234567890abcdef!", "bad key [redacted]"},
		{"less than a window of the key", "bad key ...7890abcdef", "bad key ...7890abcdef"},
		{"the key twice", "sk-1234567890abcdef, not sk-1234567890abcdef", "[redacted] not [redacted]"},
		{"a key that the limit cuts", strings.Repeat(" ", readLimit-8) + "sk-1234567890abcdef", ""},
		{"twelve of its characters", "bad 4567890abcdef.", "bad [redacted]"},
		{"a short secret", "value=wxyz;", "[redacted]"},
		{"a word of a header", "SHORTSEC is wrong", "[redacted] is wrong"},
		{"white space and control characters", " a\r\n\tb\x00c\u202e\u200bd ", "a b cd"},
		{"bytes that are no text", "a\xff\xfeb", "ab"},
		{"letters whose lower case is longer", "Ⱥ sk-1234567890abcdef Ⱥ", "ⱥ [redacted] ⱥ"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := r.quote(tt.text); got != tt.want {
				t.Errorf("quote(%q) = %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

func TestATextWithATinySecretIsNotQuoted(t *testing.T) {
	t.Parallel()
	if got := newRedactor("x1").quote("the flag x1 is wrong"); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestQuoteIsBounded(t *testing.T) {
	t.Parallel()
	got := newRedactor().quote(strings.Repeat("é ", 5000))
	if n := utf8.RuneCountInString(got); n != quoteLimit+1 || !strings.HasSuffix(got, "…") {
		t.Errorf("%d runes", n)
	}
}

func TestQuoteNeverHoldsAWindowOfASecret(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[!-~]{12,40}`).Draw(t, "secret")
		before, after := rapid.String().Draw(t, "before"), rapid.String().Draw(t, "after")
		from := rapid.IntRange(0, len(secret)-redactWindow).Draw(t, "from")
		got := strings.ToLower(newRedactor(secret).quote(before + secret[from:] + after))
		for i := 0; i+redactWindow <= len(secret); i++ {
			if strings.Contains(got, strings.ToLower(secret[i:i+redactWindow])) {
				t.Fatalf("%q tells %q", got, secret[i:i+redactWindow])
			}
		}
		if !utf8.ValidString(got) {
			t.Fatalf("%q is no text", got)
		}
	})
}
