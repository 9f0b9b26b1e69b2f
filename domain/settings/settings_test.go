package settings_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/domain/settings"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/spec"
)

type event = eventschema.SettingsEvent

var given = spec.Given[settings.State, event]

const key = "sk-live-0123456789"

func update(patch string) func(settings.State) ([]event, error) {
	return func(s settings.State) ([]event, error) { return s.Update(json.RawMessage(patch), nil) }
}

// after is the past that these patches make, one after the other.
func after(t *testing.T, patches ...string) []event {
	t.Helper()
	var s settings.State
	var past []event
	for _, p := range patches {
		events, err := s.Update(json.RawMessage(p), nil)
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		for _, e := range events {
			s = s.Evolve(e, int64(len(past)))
			past = append(past, e)
		}
	}
	return past
}

func state(past []event) settings.State {
	var s settings.State
	for i, e := range past {
		s = s.Evolve(e, int64(i))
	}
	return s
}

// told is what the last of the events tells of changes: path, from, to.
func told(t *testing.T, past []event) []string {
	t.Helper()
	var lines []string
	for _, c := range past[len(past)-1].(eventschema.SettingsUpdated).Changes {
		lines = append(lines, c.Path+" "+string(c.From)+" "+string(c.To))
	}
	return lines
}

func mustTell(t *testing.T, past []event, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, told(t, past)); d != "" {
		t.Fatalf("changes (-want +got):\n%s", d)
	}
}

func TestTheDefaults(t *testing.T) {
	t.Parallel()
	var s settings.State
	if d := cmp.Diff(string(eventschema.DefaultSettings()), string(s.Document())); d != "" || s.Revision() != settings.NoRevision {
		t.Fatal(d, s.Revision())
	}
	if provider, model := s.DefaultModel(); provider != "g4f" || model != "gpt-4o-mini" {
		t.Fatal(provider, model)
	}
	for _, id := range []string{"openai", "anthropic", "ollama", "g4f", "custom"} {
		if p, ok := s.Provider(id); !ok || !p.Enabled || p.APIKey != "" || p.BaseURL != "" {
			t.Errorf("%s: %+v, %v", id, p, ok)
		}
	}
	if p, ok := s.Provider("other"); ok {
		t.Errorf("there is %+v", p)
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	t.Run("merges objects and tells each leaf that changed", func(t *testing.T) {
		t.Parallel()
		past := after(t, `{"ui":{"theme":"light","font":{"size":12}},"memory_limit_gb":16}`)
		mustTell(t, past, `/memory_limit_gb 8 16`, `/ui/font/size null 12`, `/ui/theme "neon_dark" "light"`)
		var document struct {
			UI        map[string]any `json:"ui"`
			Telemetry bool           `json:"telemetry_enabled"`
		}
		if err := json.Unmarshal(state(past).Document(), &document); err != nil {
			t.Fatal(err)
		}
		if document.UI["accent"] != "#00FF94" || document.UI["theme"] != "light" || !document.Telemetry {
			t.Fatalf("%+v", document)
		}
	})
	t.Run("replaces whatever is no object, as a whole", func(t *testing.T) {
		t.Parallel()
		past := after(t, `{"a":[1,{"b":2}],"c":5}`, `{"a":[1],"c":{"d":6}}`)
		mustTell(t, past, `/a [1,{"b":2}] [1]`, `/c 5 {"d":6}`)
	})
	t.Run("keeps unknown members and the text of numbers", func(t *testing.T) {
		t.Parallel()
		past := after(t, `{"mine":{"n":12345678901234567890,"f":1.50,"t":"<&>"}}`, `{"ui":{"theme":"x"}}`)
		if got := string(state(past).Document()); !strings.Contains(got, `"mine":{"f":1.50,"n":12345678901234567890,"t":"<&>"}`) {
			t.Fatal(got)
		}
	})
	t.Run("writes paths as JSON pointers", func(t *testing.T) {
		t.Parallel()
		mustTell(t, after(t, `{"a/b":{"c~d":1}}`), `/a~1b/c~0d null 1`)
	})
	t.Run("tells of an empty object where there was nothing", func(t *testing.T) {
		t.Parallel()
		mustTell(t, after(t, `{"a":{}}`), `/a null {}`)
		mustTell(t, after(t, `{"a":{}}`, `{"a":{"b":1}}`), `/a/b null 1`)
	})
	t.Run("records nothing when nothing differs", func(t *testing.T) {
		t.Parallel()
		given(t).When(update(`{"memory_limit_gb":8,"ui":{"theme":"neon_dark"}}`)).ThenNothing()
		given(t).When(update(string(eventschema.DefaultSettings()))).ThenNothing()
		given(t).When(update(`{}`)).ThenNothing()
	})
	t.Run("is refused when the settings changed since they were seen", func(t *testing.T) {
		t.Parallel()
		matching := func(match int64) func(settings.State) ([]event, error) {
			return func(s settings.State) ([]event, error) {
				return s.Update(json.RawMessage(`{"memory_limit_gb":1}`), &match)
			}
		}
		past := after(t, `{"memory_limit_gb":2}`)
		given(t, past...).When(matching(settings.NoRevision)).ThenError(settings.ErrPrecondition)
		given(t).When(matching(0)).ThenError(settings.ErrPrecondition)
		for name, s := range map[string]struct {
			past  []event
			match int64
		}{"the defaults": {nil, settings.NoRevision}, "the first change": {past, 0}} {
			if _, err := state(s.past).Update(json.RawMessage(`{"memory_limit_gb":1}`), new(s.match)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestUpdateRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ patch, field string }{
		{`{"memory_limit_gb":"8"}`, "memory_limit_gb"},
		{`{"memory_limit_gb":-1}`, "memory_limit_gb"},
		{`{"telemetry_enabled":"yes"}`, "telemetry_enabled"},
		{`{"default_model_id":" "}`, "default_model_id"},
		{`{"default_provider_id":null}`, "default_provider_id"},
		{`{"ui":5}`, "ui"},
		{`{"ui":{"theme":5}}`, "ui.theme"},
		{`{"providers":{}}`, "providers"},
		{`{"providers":[5]}`, "providers.0"},
		{`{"providers":[{"provider_id":"openai"},{"enabled":true}]}`, "providers.1.provider_id"},
		{`{"providers":[{"provider_id":"openai"},{"provider_id":"openai"}]}`, "providers.1.provider_id"},
		{`{"providers":[{"provider_id":"openai","enabled":1}]}`, "providers.0.enabled"},
		{`{"providers":[{"provider_id":"openai","api_key":5}]}`, "providers.0.api_key"},
		{`{"providers":[{"provider_id":"openai","api_key":" "}]}`, "providers.0.api_key"},
		{`{"providers":[{"provider_id":"openai","api_key":"a\nb"}]}`, "providers.0.api_key"},
		{`{"providers":[{"provider_id":"openai","api_key":"set"}]}`, "providers.0.api_key"},
		{`{"providers":[{"provider_id":"openai","headers":{"X-A":"set"}}]}`, "providers.0.headers.X-A"},
		{`{"providers":[{"provider_id":"openai","headers":[]}]}`, "providers.0.headers"},
		{`{"providers":[{"provider_id":"openai","headers":{"X A":"b"}}]}`, "providers.0.headers.X A"},
		{`{"providers":[{"provider_id":"openai","headers":{"X-A":"b","x-a":"c"}}]}`, "providers.0.headers.x-a"},
		{`{"providers":[{"provider_id":"openai","headers":{"Host":"b"}}]}`, "providers.0.headers.Host"},
		{`{"providers":[{"provider_id":"openai","extra":[]}]}`, "providers.0.extra"},
		{`{"providers":[{"provider_id":"openai","extra":{"stream":false}}]}`, "providers.0.extra.stream"},
		{`{"providers":[{"provider_id":"openai","models":"gpt"}]}`, "providers.0.models"},
		{`{"providers":[{"provider_id":"openai","models":["a",""]}]}`, "providers.0.models.1"},
		{`{"providers":[{"provider_id":"openai","base_url":5}]}`, "providers.0.base_url"},
		{`{"providers":[{"provider_id":"openai","base_url":"file:///etc/passwd"}]}`, "providers.0.base_url"},
		{`{"providers":[{"provider_id":"openai","base_url":"https://"}]}`, "providers.0.base_url"},
		{`{"providers":[{"provider_id":"openai","base_url":"https://me:secret@host"}]}`, "providers.0.base_url"},
		{`{"providers":[{"provider_id":"openai","base_url":"https://host?key=secret"}]}`, "providers.0.base_url"},
		{`{"providers":[{"provider_id":"openai","apiKey":"secret"}]}`, "providers.0.apiKey"},
		{`{"providers":[{"provider_id":"openai","extra":{"a":{"Authorization":"secret"}}}]}`, "providers.0.extra.a.Authorization"},
		{`{"github":{"access_token":"secret"}}`, "github.access_token"},
		{`{"openai_api_key":"secret"}`, "openai_api_key"},
		{`{"tokens":{"token":["secret"]}}`, "tokens.token.0"},
		{`{"ui":{"theme":"dark","secret_token":"secret"}}`, "ui.secret_token"},
		{`{"providers":[{"provider_id":"openai","github_token":"secret"}]}`, "providers.0.github_token"},
		{`{"providers":[{"provider_id":"openai","extra":{"user":"ghp_0123456789abcdefABCDEF0123456789abcd"}}]}`, "providers.0.extra.user"},
		{`{"ui":{"theme":"sk-proj-0123456789abcdef"}}`, "ui.theme"},
	} {
		t.Run(tt.patch, func(t *testing.T) {
			t.Parallel()
			given(t).When(update(tt.patch)).ThenError(settings.ErrInvalid)
			_, err := settings.State{}.Update(json.RawMessage(tt.patch), nil)
			f, ok := err.(*fault.Error) //nolint:errorlint // a decision returns its faults bare
			if !ok || f.Details["field"] != tt.field {
				t.Errorf("got %v with details %v", err, f.Details)
			}
			if strings.Contains(err.Error(), "secret@") || strings.Contains(err.Error(), "=secret") {
				t.Errorf("the refusal repeats a secret: %v", err)
			}
		})
	}
	t.Run("what is no object", func(t *testing.T) {
		t.Parallel()
		given(t).When(update(`null`)).ThenError(settings.ErrInvalid)
		given(t).When(update(`[]`)).ThenError(settings.ErrInvalid)
	})
	t.Run("but takes members that only sound alike", func(t *testing.T) {
		t.Parallel()
		mustTell(t, after(t, `{"max_tokens":5,"token":"","tokens":"many","secret":{}}`),
			`/max_tokens null 5`, `/secret null {}`, `/token null ""`, `/tokens null "many"`)
	})
}

// Nothing that the settings are told openly may be a credential, whether it is
// named like one or looks like one.
func TestUpdateRefusesCredentials(t *testing.T) {
	t.Parallel()
	refused := func(t *testing.T, name, value string) bool {
		t.Helper()
		patch, err := json.Marshal(map[string]any{"mine": map[string]string{name: value}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = settings.State{}.Update(patch, nil)
		f, ok := err.(*fault.Error) //nolint:errorlint // a decision returns its faults bare
		if err != nil && (!ok || f.Details["field"] != "mine."+name || strings.Contains(err.Error(), value)) {
			t.Errorf("%s: refused with %v", name, err)
		}
		return err != nil
	}
	for name, want := range map[string]bool{
		"token": true, "secret_token": true, "github_token": true, "access_token": true, "GITHUB-TOKEN": true, "slackToken": true, "id token": true,
		"secret": true, "client_secret": true, "webhookSecret": true, "aws.secret_access_key": true, "passwd": true,
		"password": true, "smtp_password": true, "db-password": true, "api_key": true, "stripe_api_key": true, "X-API-Key": true, "authorization": true,
		"tokens": false, "max_tokens": false, "token_limit": false, "tokenizer": false, "eos_token": false, "stop_token": false, "padToken": false,
		"secretary": false, "secret_count": false, "password_policy": false, "hotkey": false, "key": false, "accesskey": false, "authorizations": false,
	} {
		if got := refused(t, name, "0Zq-value"); got != want {
			t.Errorf("a member named %s is refused: %v", name, got)
		}
	}
	for value, want := range map[string]bool{
		"sk-0123456789abcdefABCDEF":                        true,
		"sk-ant-api03-abc_DEF-0123456789":                  true,
		"Bearer sk-0123456789abcdefABCDEF":                 true,
		`{"key":"ghp_0123456789abcdefABCDEF0123456789ab"}`: true,
		"github_pat_0123456789abcdefABCDEF_0123456789":     true,
		"glpat-0123456789abcdefABCD":                       true,
		"xoxb-123456789012-abcdefghijkl":                   true,
		"AKIA0123456789ABCDEF":                             true,
		"id=ASIA0123456789ABCDEF;":                         true,
		"AIza0123456789abcdefABCDEF0123456789-_x":          true,
		"-----BEGIN RSA PRIVATE KEY-----\nMII":             true,
		"-----BEGIN PRIVATE KEY-----":                      true,
		"sk":                                               false,
		"sk-SK":                                            false,
		"disk-0123456789abcdefABCDEF":                      false,
		"risk-assessment-of-everything":                    false,
		"ghp_short":                                        false,
		"AKIA":                                             false,
		"AKIA0123456789ABCDEFG":                            false,
		"PAKIA0123456789ABCDEF":                            false,
		"xoxo-":                                            false,
		"-----BEGIN CERTIFICATE-----":                      false,
	} {
		if got := refused(t, "note", value); got != want {
			t.Errorf("%q is refused: %v", value, got)
		}
	}
}

func TestUpdateKeepsWithinAnAppend(t *testing.T) {
	t.Parallel()
	t.Run("refuses to become too large", func(t *testing.T) {
		t.Parallel()
		given(t).When(update(`{"a":"` + strings.Repeat("x", 129<<10) + `"}`)).ThenError(settings.ErrTooLarge)
		past := after(t, `{"a":"`+strings.Repeat("x", 100<<10)+`"}`)
		given(t, past...).When(update(`{"b":"` + strings.Repeat("x", 30<<10) + `"}`)).ThenError(settings.ErrTooLarge)
	})
	t.Run("refuses secrets without end", func(t *testing.T) {
		t.Parallel()
		given(t).When(update(`{"providers":[{"provider_id":"a","api_key":"` + strings.Repeat("x", 65<<10) + `"}]}`)).ThenError(settings.ErrTooLarge)
	})
	t.Run("refuses more changes than an event can tell", func(t *testing.T) {
		t.Parallel()
		leaves := strings.TrimSuffix(strings.Repeat(`"x":0,`, eventschema.MaxSettingsChanges+1), ",")
		for i := range eventschema.MaxSettingsChanges + 1 {
			leaves = strings.Replace(leaves, `"x"`, `"`+strings.Repeat("y", i%3+1)+string(rune('A'+i%26))+string(rune(0x100+i))+`"`, 1)
		}
		given(t).When(update("{" + leaves + "}")).ThenError(settings.ErrTooMany)
	})
	t.Run("refuses paths that multiply", func(t *testing.T) {
		t.Parallel()
		below := strings.Repeat(`"x":0,`, 500)
		for i := range 500 {
			below = strings.Replace(below, `"x"`, `"`+string(rune(0x100+i))+`"`, 1)
		}
		given(t).When(update(`{"` + strings.Repeat("n", 2000) + `":{` + strings.TrimSuffix(below, ",") + `}}`)).ThenError(settings.ErrTooLarge)
	})
}

// A snapshot would write secrets in clear; an erased key must not stop the fold.
func TestSecretsAtRest(t *testing.T) {
	t.Parallel()
	past := after(t, `{"providers":[{"provider_id":"openai","api_key":"`+key+`","headers":{"X-A":"abc-header"}}]}`)
	if snapshot, err := json.Marshal(struct{ State settings.State }{state(past)}); err == nil {
		t.Errorf("the state is written in clear: %s", snapshot)
	}
	stored, err := eventschema.All.Encode(past[0], eventschematest.Sealer{})
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := eventschema.All.Decode(stored, eventschematest.Sealer{Erased: map[string]bool{"": true}})
	if err != nil {
		t.Fatal(err)
	}
	s := settings.State{}.Evolve(decoded.(event), 0)
	if p, ok := s.Provider("openai"); !ok || p.APIKey != "" || len(p.Headers) != 0 {
		t.Errorf("%+v", p)
	}
	events, err := s.Update(json.RawMessage(`{"providers":[{"provider_id":"openai"}]}`), nil)
	if err != nil || strings.Contains(string(events[0].(eventschema.SettingsUpdated).Settings), `"set"`) {
		t.Errorf("%+v, %v", events, err)
	}
}
