package agent

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// flatten makes text of a message's content. Text and code are their text, JSON
// is itself, pictures and references are a label with their name; kinds that a
// model cannot be told are left out. A part without a type is text.
func flatten(content json.RawMessage) string {
	var lines []string
	gjson.ParseBytes(content).ForEach(func(_, part gjson.Result) bool {
		if line := flattenPart(part); line != "" {
			lines = append(lines, line)
		}
		return true
	})
	return strings.Join(lines, "\n")
}

func flattenPart(part gjson.Result) string {
	kind := part.Get("type").String()
	switch kind {
	case "", "text", "code":
		return part.Get("text").String()
	case "json":
		return firstOf(part, "json", "data", "value").Raw
	case "image":
		return label(kind, withoutData(named(part, "url", "image_url.url", "image_url")))
	case "diff_ref":
		return label(kind, named(part, "diff_id", "id"))
	case "tool_call":
		return label(kind, named(part, "name", "tool_name", "tool"), named(part, "tool_call_id", "call_id", "id"))
	case "tool_result":
		return label(kind, named(part, "name", "tool_name", "tool"), named(part, "tool_call_id", "call_id", "id"))
	default:
		return ""
	}
}

func label(kind string, names ...string) string {
	words := append([]string{"[" + kind + "]"}, names...)
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

func firstOf(part gjson.Result, paths ...string) gjson.Result {
	for _, path := range paths {
		if v := part.Get(path); v.Exists() {
			return v
		}
	}
	return gjson.Result{}
}

func named(part gjson.Result, paths ...string) string {
	for _, path := range paths {
		if v := part.Get(path); v.Type == gjson.String && v.Str != "" {
			return v.Str
		}
	}
	return ""
}

// withoutData cuts a data: URL (RFC 2397) before its data, which would fill the
// model's window with base64.
func withoutData(url string) string {
	if head, _, ok := strings.Cut(url, ","); ok && strings.HasPrefix(url, "data:") {
		return head
	}
	return url
}

// storable is text without what the log cannot hold. Models do emit NUL, and an
// answer must not be lost for it.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
