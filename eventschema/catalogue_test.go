package eventschema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
)

func sample(name string, v int) string {
	return filepath.Join("testdata", name, fmt.Sprintf("v%d.json", v))
}

// Every version that was ever released has a sample, and every build must still
// read it.
func TestReadsEveryVersionEverWritten(t *testing.T) {
	t.Parallel()
	for _, name := range eventschema.All.Names() {
		current := eventschema.All.Version(name)
		for v := 1; v <= current; v++ {
			t.Run(fmt.Sprintf("%s v%d", name, v), func(t *testing.T) {
				t.Parallel()
				want := decode(t, name, current)
				got := decode(t, name, v)
				if d := cmp.Diff(normal(t, want), normal(t, got)); d != "" {
					t.Fatalf("v%d does not become v%d (-want +got):\n%s", v, current, d)
				}
			})
		}
	}
}

func TestWritesWhatTheSampleSays(t *testing.T) {
	t.Parallel()
	for _, name := range eventschema.All.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			current := eventschema.All.Version(name)
			raw, err := os.ReadFile(sample(name, current))
			if err != nil {
				t.Fatal(err)
			}
			stored, err := eventschema.All.Encode(decode(t, name, current), eventschematest.Sealer{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(parse(t, raw), parse(t, stored.Data)); d != "" {
				t.Fatalf("a field was lost, renamed or is not sealed any more (-sample +code):\n%s", d)
			}
		})
	}
}

func TestNoSampleIsLeftWithoutItsEvent(t *testing.T) {
	t.Parallel()
	dirs, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if d.IsDir() && eventschema.All.Version(d.Name()) == 0 {
			t.Errorf("%s has samples but is not in the catalogue: released events are for ever", d.Name())
		}
	}
}

func decode(t *testing.T, name string, v int) eventschema.Event {
	t.Helper()
	data, err := os.ReadFile(sample(name, v))
	if err != nil {
		t.Fatal(err)
	}
	ev, err := eventschema.All.Decode(eventschema.Stored{Name: name, Version: v, Data: data}, eventschematest.Sealer{})
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func normal(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, b)
}

func parse(t *testing.T, raw []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDecode(t *testing.T) {
	t.Parallel()
	stored := func(name, data string, version int) eventschema.Stored {
		return eventschema.Stored{Name: name, Version: version, Data: []byte(data)}
	}
	t.Run("stops at an event that is not in the catalogue", func(t *testing.T) {
		t.Parallel()
		for _, st := range []eventschema.Stored{
			stored("project.imagined", `{}`, 1),
			stored("project.deleted", `{"project_id":"p"}`, 2),
			stored("project.deleted", `{"project_id":"p"}`, 0),
		} {
			if _, err := eventschema.All.Decode(st, eventschematest.Sealer{}); !errors.Is(err, eventschema.ErrUnknownEvent) {
				t.Errorf("%s v%d: error = %v", st.Name, st.Version, err)
			}
		}
	})
	t.Run("refuses fields and bytes that it does not understand", func(t *testing.T) {
		t.Parallel()
		for _, data := range []string{`{"project_id":"p","extra":1}`, `{"project_id":"p"} {}`, `{"project_id":`, ``} {
			if ev, err := eventschema.All.Decode(stored("project.deleted", data, 1), eventschematest.Sealer{}); err == nil {
				t.Errorf("%q decoded to %+v", data, ev)
			}
		}
	})
	t.Run("shows a placeholder where the key was destroyed", func(t *testing.T) {
		t.Parallel()
		st, err := eventschema.All.Encode(eventschema.MessagePosted{
			SessionID: "s", ProjectID: "gone", MessageID: "m", Role: "user", Content: json.RawMessage(`[{"type":"text","text":"secret"}]`), Meta: json.RawMessage(`{}`),
		}, eventschematest.Sealer{})
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(st.Data, []byte("secret")) {
			t.Fatalf("stored in clear: %s", st.Data)
		}
		ev, err := eventschema.All.Decode(st, eventschematest.Sealer{Erased: map[string]bool{"gone": true}})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(ev.(eventschema.MessagePosted).Content); got != `[{"type":"text","text":"[erased]"}]` {
			t.Fatalf("content = %s", got)
		}
	})
	t.Run("leaves the event that was encoded as it was", func(t *testing.T) {
		t.Parallel()
		name := "Ana"
		ev := eventschema.UserUpdated{UserID: "u", Name: &name}
		if _, err := eventschema.All.Encode(ev, eventschematest.Sealer{}); err != nil {
			t.Fatal(err)
		}
		if name != "Ana" {
			t.Fatalf("name became %q", name)
		}
	})
	t.Run("keeps free JSON as it was sent", func(t *testing.T) {
		t.Parallel()
		raw := `{"n":12345678901234567890,"t":"a<b>&c"}`
		st, err := eventschema.All.Encode(eventschema.ProjectCreated{ProjectID: "p", Repo: json.RawMessage(raw)}, eventschematest.Sealer{})
		if err != nil {
			t.Fatal(err)
		}
		ev, err := eventschema.All.Decode(st, eventschematest.Sealer{})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(ev.(eventschema.ProjectCreated).Repo); got != raw {
			t.Fatalf("repo = %s", got)
		}
	})
}

func TestStorable(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, tc := range map[string]struct {
		raw string
		ok  bool
	}{
		"plain":                     {`{"a":[1,-2.5e3,"x\n\"",true,null]}`, true},
		"a surrogate pair":          {`"\ud83d\ude00"`, true},
		"an escaped backslash":      {`"\\u0000"`, true},
		"NUL":                       {`"a\u0000"`, false},
		"half a surrogate pair":     {`"\ud83d"`, false},
		"a low surrogate first":     {`"\ude00\ud83d"`, false},
		"a high surrogate and text": {`"\ud83dabcdef"`, false},
		"invalid UTF-8":             {"\"\xff\"", false},
		"64 levels":                 {deep(64), true},
		"65 levels":                 {deep(65), false},
		"brackets inside a string":  {`"` + strings.Repeat("[", 100) + `"`, true},
		"1e308":                     {`1e308`, true},
		"1.1e308":                   {`-1.1e308`, false},
		"1e400000":                  {`[1e400000]`, false},
		"400 digits":                {strings.Repeat("9", 400), false},
		"300 digits":                {strings.Repeat("9", 300), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := eventschema.Storable([]byte(tc.raw)); (err == nil) != tc.ok {
				t.Fatalf("Storable = %v", err)
			}
		})
	}
}

func FuzzDecodeNeverPanics(f *testing.F) {
	for i, name := range eventschema.All.Names() {
		raw, err := os.ReadFile(sample(name, 1))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(i, raw)
	}
	names := eventschema.All.Names()
	f.Fuzz(func(t *testing.T, i int, data []byte) {
		name := names[((i%len(names))+len(names))%len(names)]
		ev, err := eventschema.All.Decode(eventschema.Stored{Name: name, Version: 1, Data: data}, eventschematest.Sealer{})
		if err != nil {
			return
		}
		if _, err := eventschema.All.Encode(ev, eventschematest.Sealer{}); err != nil && !errors.Is(err, eventschema.ErrNotStorable) {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}

func BenchmarkEncodeSealed(b *testing.B) {
	ev := eventschema.RunOutputAppended{SessionID: "s", ProjectID: "p", RunID: "r", MessageID: "m", Text: strings.Repeat("x", 300)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := eventschema.All.Encode(ev, eventschematest.Sealer{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	st, err := eventschema.All.Encode(eventschema.ProjectCreated{ProjectID: "p", Name: "n", Repo: json.RawMessage(`{}`)}, eventschematest.Sealer{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := eventschema.All.Decode(st, eventschematest.Sealer{}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestDisclose(t *testing.T) {
	t.Parallel()
	st, err := eventschema.All.Encode(eventschema.EmailReserved{User: eventschema.UserCreated{
		UserID: "u", Name: "Ana", Email: "ana@example.com", Roles: []string{}, Verifier: "$argon2id$secret",
	}}, eventschematest.Sealer{})
	if err != nil {
		t.Fatal(err)
	}
	shown, err := eventschema.All.Disclose(st, eventschematest.Sealer{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(shown, []byte("ana@example.com")) || !bytes.Contains(shown, []byte(`"verifier":"[sealed]"`)) {
		t.Fatalf("disclosed: %s", shown)
	}
}
