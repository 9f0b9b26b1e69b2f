package httpx

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/g4fagent/g4fagent/internal/fault"
)

func TestStorable(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, raw string
		want      error
	}{
		{"an object", `{"name":"a"}`, nil},
		{"any script, escaped or not", `{"name":"Ä\u00e4 \ud83d\ude00 😀"}`, nil},
		{"an escaped backslash before u0000", `{"name":"\\u0000"}`, nil},
		{"two escaped backslashes before u0000", `{"name":"\\\\u0000"}`, nil},
		{"a NUL in a value", `{"name":"a\u0000"}`, errNUL},
		{"a NUL in a name", `{"a\u0000":1}`, errNUL},
		{"a NUL behind an escaped backslash", `{"name":"\\\u0000"}`, errNUL},
		{"a raw NUL", "{\"name\":\"\x00\"}", errInvalidJSON},
		{"a raw control character", "{\"name\":\"\x01\"}", errInvalidJSON},
		{"a lone high surrogate", `{"name":"\ud83d"}`, errSurrogate},
		{"a lone low surrogate", `{"name":"\ude00"}`, errSurrogate},
		{"a high surrogate before text", `{"name":"\ud83dx"}`, errSurrogate},
		{"a surrogate behind text", `{"name":"abc\uD83D"}`, errSurrogate},
		{"a low surrogate before a high one", `{"name":"\ude00\ud83d"}`, errSurrogate},
		{"a pair and a half", `{"name":"\ud83d\ude00\ud83d"}`, errSurrogate},
		{"a high surrogate before another character", `{"name":"\ud83d\u0041"}`, errSurrogate},
		{"half an escape", `{"name":"\ud8"}`, errInvalidJSON},
		{"no UTF-8", "{\"name\":\"\xff\"}", errInvalidJSON},
		{"a surrogate in UTF-8", "{\"name\":\"\xed\xa0\x80\"}", errInvalidJSON},
		{"a name twice", `{"name":"a","name":"b"}`, errDuplicate},
		{"a name twice, once escaped", `{"name":"a","\u006eame":"b"}`, errDuplicate},
		{"a name twice, deep inside", `{"a":[{"b":1,"b":2}]}`, errDuplicate},
		{"the same name at two levels", `{"a":{"a":1}}`, nil},
		{"bytes behind the value", `{"name":"a"} trailing`, errInvalidJSON},
		{"two values", `{} {}`, errInvalidJSON},
		{"white space around", " \t\r\n{} \t\r\n", nil},
		{"an open brace", `{`, errInvalidJSON},
		{"an open string", `{"name":"a`, errInvalidJSON},
		{"a comma too many", `{"a":1,}`, errInvalidJSON},
		{"a byte order mark", "\ufeff{}", errInvalidJSON},
		{"NaN", `{"n":NaN}`, errInvalidJSON},
		{"Infinity", `{"n":-Infinity}`, errInvalidJSON},
		{"a large integer", `{"n":12345678901234567890}`, nil},
		{"the largest number", `{"n":-1e308}`, nil},
		{"a number past the largest", `{"n":1.7e308}`, errNumber},
		{"a number no float holds", `{"n":1e400000}`, errNumber},
		{"a number with a capital exponent", `{"n":1E309}`, errNumber},
		{"a number of 400 digits", `{"n":` + strings.Repeat("9", 400) + `}`, errNumber},
		{"a fraction of 400 digits", `{"n":0.` + strings.Repeat("9", 400) + `}`, nil},
		{"a very small number", `{"n":1e-400000}`, nil},
		{"a number in text", `{"n":"1e400000"}`, nil},
		{"brackets in text", `{"n":"` + strings.Repeat("[", 100) + `"}`, nil},
		{"64 levels", strings.Repeat("[", 64) + strings.Repeat("]", 64), nil},
		{"65 levels", strings.Repeat("[", 65) + strings.Repeat("]", 65), errDepth},
		{"65 levels of objects", strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65), errDepth},
		{"20,000 levels", strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), errInvalidJSON},
		{"many shallow siblings", "[" + strings.Repeat("[],", 1000) + "[]]", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := storable([]byte(tc.raw))
			if tc.want == nil {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			got, ok := errors.AsType[*fault.Error](err)
			if !ok || got.Code != "invalid_json" || got.Text != tc.want.Error() {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if _, ok := got.Details["offset"]; !ok {
				t.Error("the refusal does not say where")
			}
		})
	}
}

// FuzzStorable holds what was accepted against the standard library, which
// shares no code with the gate.
func FuzzStorable(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","n":[1,2.5e3,null,true],"o":{"x":"\\\u0041"}}`, `{"a":"\u0000"}`, `[[[]]]`, `"\\"`, `1e999`, `{"a":1,"a":2}`, `{"é":"\ud83d\ude00"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if storable(raw) != nil {
			return
		}
		if !utf8.Valid(raw) {
			t.Error("not UTF-8")
		}
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.UseNumber()
		depth := 0
		for {
			token, err := decoder.Token()
			if err != nil {
				break
			}
			switch v := token.(type) {
			case json.Delim:
				if v == '{' || v == '[' {
					depth++
				} else {
					depth--
				}
			case string:
				if strings.ContainsRune(v, 0) {
					t.Error("a NUL was accepted")
				}
			case json.Number:
				if _, err := v.Float64(); err != nil {
					t.Errorf("a number was accepted: %v", err)
				}
			}
			if depth > maxDepth {
				t.Error("too deep")
			}
		}
		if !json.Valid(raw) {
			t.Error("not valid JSON")
		}
	})
}

// BenchmarkStorable measures the gate itself; the goal is 2 µs a KB.
func BenchmarkStorable(b *testing.B) {
	message := `{"role":"user","content":[{"kind":"text","text":"` + strings.Repeat("The quick brown fox. ", 10) + `"}],"tags":["a","b"],"n":12.5},`
	for name, raw := range map[string]string{
		"messages 1 KB":  "[" + strings.Repeat(message, 3) + "1]",
		"messages 64 KB": "[" + strings.Repeat(message, 220) + "1]",
		"file 64 KB":     `{"path":"main.go","content":"` + strings.Repeat(`\tif err != nil {\n\t\treturn fmt.Errorf(\"open: %w\", err)\n\t}\n`, 1000) + `"}`,
		"plain 64 KB":    `{"path":"main.go","content":"` + strings.Repeat("x", 64<<10) + `"}`,
	} {
		b.Run(name, func(b *testing.B) {
			data := []byte(raw)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := storable(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
