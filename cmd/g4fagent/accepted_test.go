package main_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// words are texts that have broken databases, parsers and terminals.
var words = rapid.SampledFrom([]string{
	`""`, `" "`, `"a"`, `"\u0000"`, `"\u0001\u001f\u007f"`, `"\ud83d"`, `"\ude00\ud83d"`, `"😀"`, `"\ud83d\ude00"`, `"\ufeff"`, `"\u2028\u2029"`, `"\ufffe\uffff"`,
	`"'; drop table projects_v1; --"`, `"\\"`, `"\\x00"`, `"\""`, `"{}"`, `"null"`, `"%s%n"`, `"$1"`, `"é"`, `"e\u0301"`, `"\u202e"`, `"𐀀"`, `"__proto__"`,
	`"` + strings.Repeat("😀", 100) + `"`, `"` + strings.Repeat("x", 200) + `"`, `"` + strings.Repeat("é", 12_000) + `"`, `"` + strings.Repeat("x", 10_001) + `"`,
})

var numbers = rapid.SampledFrom([]string{
	"0", "-0", "1", "-1.50", "1e2", "1E-2", "9007199254740993", "12345678901234567890", "1e308", "-1e308", "1e309", "1e400000", "1e-400", "0.1", "1.0", "-9223372036854775809",
	strings.Repeat("9", 400),
})

// anyJSON is a JSON text that may be anything, valid or not quite.
func anyJSON(t *rapid.T, depth int) string {
	kind := rapid.IntRange(0, 7).Draw(t, "kind")
	if depth == 0 {
		kind %= 5
	}
	switch kind {
	case 0:
		return numbers.Draw(t, "number")
	case 1:
		return rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "literal")
	case 2, 3:
		return words.Draw(t, "word")
	case 4:
		raw, err := json.Marshal(rapid.String().Draw(t, "text"))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	case 5:
		items := make([]string, rapid.IntRange(0, 3).Draw(t, "items"))
		for i := range items {
			items[i] = anyJSON(t, depth-1)
		}
		return "[" + strings.Join(items, ",") + "]"
	case 6:
		return object(t, depth-1)
	default:
		deep := rapid.IntRange(1, 70).Draw(t, "deep")
		return strings.Repeat("[", deep) + strings.Repeat("]", deep)
	}
}

func object(t *rapid.T, depth int) string {
	members := make([]string, rapid.IntRange(0, 3).Draw(t, "members"))
	for i := range members {
		members[i] = words.Draw(t, "name") + ":" + anyJSON(t, depth)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// body draws each member from mostly the right kind.
func drawBody(t *rapid.T, texts, objects, lists []string) string {
	var members []string
	add := func(name, kind string, right func() string) {
		if kind == "required" || rapid.Bool().Draw(t, "has "+name) {
			var value string
			if rapid.IntRange(0, 9).Draw(t, "odd "+name) == 0 {
				value = anyJSON(t, 1)
			} else {
				value = right()
			}
			members = append(members, strconv.Quote(name)+":"+value)
		}
	}
	for i, name := range texts {
		kind := ""
		if i == 0 {
			kind = "required"
		}
		add(name, kind, func() string { return words.Draw(t, name) })
	}
	for _, name := range objects {
		add(name, "", func() string { return object(t, 3) })
	}
	for _, name := range lists {
		add(name, "required", func() string { return "[" + rapid.SampledFrom([]string{"", object(t, 2)}).Draw(t, name) + "]" })
	}
	return "{" + strings.Join(members, ",") + "}"
}

// Whatever is accepted can be read, as it was sent, and stops no read model.
func TestAcceptedIsProjected(t *testing.T) {
	t.Parallel()
	root := admin(t)
	project := root.project()
	session := root.session(project)
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		body := ""
		defer func() {
			if t.Failed() {
				t.Logf("sent %s", body)
			}
		}()
		switch rapid.IntRange(0, 2).Draw(t, "operation") {
		case 0:
			body = drawBody(t, []string{"name", "description", "status", "environment"}, []string{"repo"}, nil)
			a := root.send("POST", "/projects", body)
			if !taken(t, a) {
				return
			}
			path := "/projects/" + idOf(t, a, "project")
			same(t, body, member(t, root.send("GET", path, ""), "project"))
			root.must("DELETE", path, "", nil, nil) // there may not be many
		case 1:
			body = drawBody(t, []string{"title", "provider_id", "model_id", "status"}, []string{"config", "memory"}, nil)
			body = strings.TrimSuffix(body, "}") + `,"tags":[` + words.Draw(t, "tag") + `]}`
			a := root.send("POST", "/projects/"+project+"/sessions", body)
			if !taken(t, a) {
				return
			}
			same(t, body, member(t, root.send("GET", "/sessions/"+idOf(t, a, "session"), ""), "session"))
		default:
			body = drawBody(t, []string{"role"}, []string{"meta"}, []string{"content"})
			a := root.send("POST", "/sessions/"+session+"/messages", body)
			if !taken(t, a) {
				return
			}
			id := member(t, a, "message_id").(string) //nolint:forcetypeassert // the transport has held it to the document
			same(t, body, messageOf(t, root, session, id))
		}
		accepted++
	})
	if accepted < 10 {
		t.Errorf("only %d requests were accepted", accepted)
	}
	var health struct {
		OK     bool
		Checks map[string]struct {
			OK      bool
			Message string
		}
	}
	root.must("GET", "/health", "", nil, &health)
	if !health.OK {
		t.Errorf("the server is not well: %+v", health.Checks)
	}
}

// taken reports whether the request was accepted; any other answer but a refusal
// of the request is wrong.
func taken(t *rapid.T, a answer) bool {
	if a.status != 200 && a.status != 400 && a.status != 413 {
		t.Fatalf("answered %d %s", a.status, a.body)
	}
	if a.status == 200 && a.header.Get("X-Read-Model") != "" {
		t.Fatalf("the read models lag behind")
	}
	return a.status == 200
}

func values(t *rapid.T, raw []byte) map[string]any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // 1.0 is not 1
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return v
}

func member(t *rapid.T, a answer, name string) any {
	if a.status != 200 {
		t.Fatalf("what was accepted is not there: %d %s", a.status, a.body)
	}
	return values(t, a.body)[name]
}

func idOf(t *rapid.T, a answer, name string) string {
	return member(t, a, name).(map[string]any)["id"].(string) //nolint:forcetypeassert // the transport has held it to the document
}

func messageOf(t *rapid.T, c *client, session, id string) any {
	path := "/sessions/" + session + "/messages?limit=200"
	for cursor := ""; ; {
		page := values(t, c.send("GET", path+cursor, "").body)
		for _, item := range page["items"].([]any) { //nolint:forcetypeassert // as above
			if item.(map[string]any)["id"] == id { //nolint:forcetypeassert // as above
				return item
			}
		}
		next, more := page["next_cursor"].(string)
		if !more {
			t.Fatalf("the message %s is not there", id)
		}
		cursor = "&cursor=" + next
	}
}

// trimmed are the members whose outer spaces do not matter.
var trimmed = map[string]bool{"name": true, "title": true, "role": true}

// same fails the test unless each member that was sent came back.
func same(t *rapid.T, sent string, got any) {
	shown, _ := got.(map[string]any)
	for name, want := range values(t, []byte(sent)) {
		if text, ok := want.(string); ok && trimmed[name] {
			want = strings.TrimSpace(text)
		}
		if !reflect.DeepEqual(shown[name], want) {
			t.Fatalf("%s is %#v, sent %#v", name, shown[name], want)
		}
	}
}
