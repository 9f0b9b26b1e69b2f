package settings_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
	"github.com/g4fagent/g4fagent/projections/settings"
)

const stream = "settings-global"

func change(path, from, to string) eventschema.SettingsChange {
	return eventschema.SettingsChange{Path: path, From: json.RawMessage(from), To: json.RawMessage(to)}
}

var (
	first = eventschema.SettingsUpdated{
		Settings: json.RawMessage(`{"memory_limit_gb":16.0,"x":null}`),
		Changes:  []eventschema.SettingsChange{change("/memory_limit_gb", "8", "16.0"), change("/x", "null", "null")},
	}
	second = eventschema.SettingsUpdated{
		Settings: json.RawMessage(`{"providers":[{"provider_id":"openai","api_key":"set"}]}`),
		Changes:  []eventschema.SettingsChange{change("/providers/openai/api_key", "null", `"[sealed]"`)},
		Secrets:  json.RawMessage(`{"/providers/openai/api_key":"sk-live-0123456789"}`),
	}
)

func TestCurrent(t *testing.T) {
	t.Parallel()
	kit := projectiontest.Start(t, settings.Projector())
	current := func(revision int64, document string) {
		t.Helper()
		got, err := settings.Current(t.Context(), kit.Pool)
		if err != nil || got.Revision != revision || string(got.Document) != document {
			t.Fatalf("got revision %d, %s, %v", got.Revision, got.Document, err)
		}
	}
	kit.Apply("provider-ollama", eventschema.ProviderScanned{ProviderID: "ollama", Reachable: true}) // of no concern here
	current(settings.NoRevision, string(eventschema.DefaultSettings()))
	kit.Apply(stream, first)
	current(0, string(first.Settings))
	kit.Apply(stream, second)
	current(1, string(second.Settings))
}

func TestChanges(t *testing.T) {
	t.Parallel()
	pool := projectiontest.Given(t, settings.Projector(), stream, first,
		projectiontest.With(second, func(r *eventlog.Record) { r.Meta.ActorUserID, r.Meta.RequestID = "user_1", "" }))
	at := projectiontest.Epoch
	want := []settings.Change{
		{Cursor: 100 * 1024, TS: at, ActorUserID: identity.SystemID, RequestID: "req_1", Path: "/memory_limit_gb", From: json.RawMessage(`8`), To: json.RawMessage(`16.0`)},
		{Cursor: 100*1024 + 1, TS: at, ActorUserID: identity.SystemID, RequestID: "req_1", Path: "/x", From: json.RawMessage(`null`), To: json.RawMessage(`null`)},
		{Cursor: 200 * 1024, TS: at.Add(1e9), ActorUserID: "user_1", Path: "/providers/openai/api_key", From: json.RawMessage(`null`), To: json.RawMessage(`"[sealed]"`)},
	}
	got, err := settings.Changes(t.Context(), pool, 0, 10)
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(settings.Change{}, "ID")); err != nil || d != "" {
		t.Fatalf("%v (-want +got):\n%s", err, d)
	}
	seen := map[string]bool{}
	for _, c := range got {
		if !strings.HasPrefix(c.ID, "setaudit_") || len(c.ID) != len("setaudit_")+32 || seen[c.ID] {
			t.Errorf("id %q", c.ID)
		}
		seen[c.ID] = true
	}
	page, err := settings.Changes(t.Context(), pool, got[0].Cursor, 1)
	if err != nil || len(page) != 1 || page[0].ID != got[1].ID {
		t.Errorf("the second page is %+v, %v", page, err)
	}
	if page, err = settings.Changes(t.Context(), pool, got[2].Cursor, 1); err != nil || len(page) != 0 {
		t.Errorf("after the last page comes %+v, %v", page, err)
	}
}

// What a client reads as a number must be the number that it sends back.
func TestCursorsAreExactInEveryClient(t *testing.T) {
	t.Parallel()
	const last = uint64(1)<<43 - 1
	for _, tt := range []struct {
		position uint64
		n        int
		want     int64
	}{
		{0, 0, 0},
		{0, 1023, 1023},
		{1, 0, 1024},
		{last, eventschema.MaxSettingsChanges - 1, 1<<53 - 1},
		{last + 1, 0, -1},
		{math.MaxUint64, 0, -1},
		{1, eventschema.MaxSettingsChanges, -1},
	} {
		got, err := settings.CursorOf(tt.position, tt.n)
		if refused := err != nil; refused != (tt.want < 0) || !refused && got != tt.want {
			t.Errorf("position %d, change %d: got %d, %v", tt.position, tt.n, got, err)
		}
		if err == nil && int64(float64(got)) != got {
			t.Errorf("%d is not exact in a float64", got)
		}
	}
}
