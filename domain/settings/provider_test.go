package settings_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/g4fagent/g4fagent/domain/settings"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
)

// only is a patch that lists just this provider.
func only(members string) string { return `{"providers":[{"provider_id":"openai"` + members + `}]}` }

func provider(t *testing.T, past []event) settings.Provider {
	t.Helper()
	p, ok := state(past).Provider("openai")
	if !ok {
		t.Fatal("there is no openai")
	}
	return p
}

func TestProvidersAreToldApartByTheirIDs(t *testing.T) {
	t.Parallel()
	base := `{"providers":[{"provider_id":"openai","enabled":true},{"provider_id":"custom","enabled":true}]}`
	t.Run("leaf by leaf", func(t *testing.T) {
		t.Parallel()
		past := after(t, base, `{"providers":[{"provider_id":"openai","enabled":false,"models":["a"]},{"provider_id":"custom","enabled":true,"base_url":"http://h"}]}`)
		mustTell(t, past, `/providers/custom/base_url null "http://h"`, `/providers/openai/enabled true false`, `/providers/openai/models null ["a"]`)
	})
	t.Run("coming and going", func(t *testing.T) {
		t.Parallel()
		mustTell(t, after(t, base, `{"providers":[{"provider_id":"openai","enabled":true},{"provider_id":"new"}]}`),
			`/providers/custom/enabled true null`, `/providers/new null {}`)
	})
	t.Run("in another order", func(t *testing.T) {
		t.Parallel()
		past := after(t, base, `{"providers":[{"provider_id":"custom","enabled":true},{"provider_id":"openai","enabled":true}]}`)
		mustTell(t, past, `/providers ["openai","custom"] ["custom","openai"]`)
	})
}

func TestAProvidersKey(t *testing.T) {
	t.Parallel()
	set := only(`,"api_key":"` + key + `"`)
	t.Run("is sealed, and shown as set", func(t *testing.T) {
		t.Parallel()
		past := after(t, set)
		e := past[0].(eventschema.SettingsUpdated)
		if !strings.Contains(string(e.Settings), `{"api_key":"set","provider_id":"openai"}`) {
			t.Error(string(e.Settings))
		}
		if string(e.Secrets) != `{"/providers/openai/api_key":"`+key+`"}` || !slices.Contains(told(t, past), `/providers/openai/api_key null "[sealed]"`) {
			t.Error(string(e.Secrets), told(t, past))
		}
		if got := provider(t, past).APIKey; got != key {
			t.Errorf("the key is %q", got)
		}
	})
	t.Run("stays when it is left out, or set", func(t *testing.T) {
		t.Parallel()
		for _, again := range []string{only(``), only(`,"api_key":"set"`), only(`,"api_key":"` + key + ` "`)} {
			given(t, after(t, set)...).When(update(again)).ThenNothing()
		}
		past := after(t, set, only(`,"base_url":"http://h"`), `{"memory_limit_gb":2}`)
		if p := provider(t, past); p.APIKey != key || p.BaseURL != "http://h" {
			t.Errorf("%+v", p)
		}
	})
	t.Run("is replaced by another, and removed by null", func(t *testing.T) {
		t.Parallel()
		past := after(t, set, only(`,"api_key":"another-key"`))
		mustTell(t, past, `/providers/openai/api_key "[sealed]" "[sealed]"`)
		if got := provider(t, past).APIKey; got != "another-key" {
			t.Errorf("the key is %q", got)
		}
		past = after(t, set, only(`,"api_key":null`))
		mustTell(t, past, `/providers/openai/api_key "[sealed]" null`)
		if got := provider(t, past).APIKey; got != "" {
			t.Errorf("the key is %q", got)
		}
		if e := past[1].(eventschema.SettingsUpdated); e.Secrets != nil || strings.Contains(string(e.Settings), `"api_key"`) {
			t.Errorf("%s %s", e.Settings, e.Secrets)
		}
	})
	t.Run("goes with its provider for good", func(t *testing.T) {
		t.Parallel()
		past := after(t, set, `{"providers":[]}`)
		mustTell(t, past, `/providers/openai/api_key "[sealed]" null`)
		if got := provider(t, after(t, set, `{"providers":[]}`, only(``))).APIKey; got != "" {
			t.Errorf("the key came back as %q", got)
		}
	})
}

func TestAProvidersHeaders(t *testing.T) {
	t.Parallel()
	base := only(`,"headers":{"X-A":"value-of-a","X-B":"value-of-b"}`)
	past := after(t, base, only(`,"headers":{"X-A":"set","X-C":"value-of-c"}`))
	mustTell(t, past, `/providers/openai/headers/X-B "[sealed]" null`, `/providers/openai/headers/X-C null "[sealed]"`)
	if d := cmp.Diff(map[string]string{"X-A": "value-of-a", "X-C": "value-of-c"}, provider(t, past).Headers); d != "" {
		t.Error(d)
	}
	past = after(t, base, only(``))
	if p := provider(t, past); len(p.Headers) != 0 || past[1].(eventschema.SettingsUpdated).Secrets != nil {
		t.Errorf("headers that are not listed stayed: %+v", p)
	}
}

func TestAProvidersConfiguration(t *testing.T) {
	t.Parallel()
	got := provider(t, after(t, only(`,"enabled":false,"base_url":"https://h/v1?api-version=2","extra":{"n":1.0},"models":["a","b"]`)))
	want := settings.Provider{
		ID: "openai", BaseURL: "https://h/v1?api-version=2", Extra: json.RawMessage(`{"n":1.0}`), Models: []string{"a", "b"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, ok := state(after(t, only(``))).Provider("anthropic"); ok {
		t.Error("a provider that is not listed is configured")
	}
}

// Whatever is asked for, in whatever order: a change made twice is made once, and
// no secret is ever outside of its seal.
func TestTwiceIsOnceAndSecretsStaySecret(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var s settings.State
		var told []string
		for n := range rapid.IntRange(1, 6).Draw(rt, "patches") {
			patch, secrets := drawPatch(rt, n)
			told = append(told, secrets...)
			events, err := s.Update(patch, nil)
			if err != nil {
				continue // "set" where there is no secret
			}
			for _, e := range events {
				mustNotTell(rt, e, told)
				s = s.Evolve(e, int64(n))
			}
			if again, err := s.Update(patch, nil); err != nil || len(again) > 0 {
				rt.Fatalf("%s twice: %+v, %v", patch, again, err)
			}
			if back, err := s.Update(s.Document(), nil); err != nil || len(back) > 0 {
				rt.Fatalf("what is shown, sent back: %+v, %v", back, err)
			}
		}
	})
}

// drawPatch is a change to the providers and to members of all sorts.
func drawPatch(rt *rapid.T, n int) (json.RawMessage, []string) {
	var secrets []string
	secret := func(label string) any {
		switch rapid.IntRange(0, 2).Draw(rt, label) {
		case 0:
			return "set"
		default:
			secrets = append(secrets, fmt.Sprintf("secret-%d-%d-of-%s", n, len(secrets), label))
			return secrets[len(secrets)-1]
		}
	}
	ids := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"openai", "custom", "a/b", "~"}), rapid.ID[string]).Draw(rt, "ids")
	list := make([]any, len(ids))
	for i, id := range ids {
		entry := map[string]any{"provider_id": id}
		if rapid.Bool().Draw(rt, "key") {
			entry["api_key"] = secret("key")
		} else if rapid.Bool().Draw(rt, "no key") {
			entry["api_key"] = nil
		}
		if rapid.Bool().Draw(rt, "header") {
			entry["headers"] = map[string]any{rapid.SampledFrom([]string{"X-A", "X-B"}).Draw(rt, "name"): secret("header")}
		}
		list[i] = entry
	}
	patch := map[string]any{rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "member"): rapid.SampledFrom([]any{
		nil, 1, "text", []any{1}, map[string]any{}, map[string]any{"z": map[string]any{"w": true}},
	}).Draw(rt, "value")}
	if rapid.Bool().Draw(rt, "providers") {
		patch["providers"] = list
	}
	raw, err := json.Marshal(patch)
	if err != nil {
		rt.Fatal(err)
	}
	return raw, secrets
}

func mustNotTell(rt *rapid.T, e event, secrets []string) {
	stored, err := eventschema.All.Encode(e, eventschematest.Sealer{})
	if err != nil {
		rt.Fatal(err)
	}
	disclosed, err := eventschema.All.Disclose(stored, eventschematest.Sealer{})
	if err != nil {
		rt.Fatal(err)
	}
	updated := e.(eventschema.SettingsUpdated)
	shown := string(updated.Settings) + string(stored.Data) + string(disclosed) + fmt.Sprintf("%s", updated.Changes)
	for _, secret := range secrets {
		if strings.Contains(shown, secret) {
			rt.Fatalf("%q is in %s", secret, shown)
		}
	}
}
