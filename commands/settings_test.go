package commands_test

import (
	"encoding/json"
	"testing"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/domain/project"
	"github.com/g4fagent/g4fagent/domain/settings"
	"github.com/g4fagent/g4fagent/eventschema"
)

func (r *rig) set(patch string) commands.Receipt {
	r.t.Helper()
	return must(r.UpdateSettings(r.someone(), commands.UpdateSettings{Patch: json.RawMessage(patch)}))(r.t)
}

func TestSessionsTakeTheSettingsDefaults(t *testing.T) {
	t.Parallel()
	t.Run("as any node changed them", func(t *testing.T) {
		t.Parallel()
		a := newRig(t)
		b := rigOn(t, a.log)
		project := a.project()
		create := func(c commands.CreateSession) eventschema.SessionCreated {
			return written[eventschema.SessionCreated](t, must(b.CreateSession(b.someone(), c))(t))
		}
		bare := newSession(project)
		bare.ProviderID, bare.ModelID = "", ""
		if s := create(bare); s.ProviderID != "g4f" || s.ModelID != "gpt-4o-mini" {
			t.Errorf("before any change: %s, %s", s.ProviderID, s.ModelID)
		}
		a.set(`{"default_provider_id":"ollama","default_model_id":"llama"}`)
		if s := create(bare); s.ProviderID != "ollama" || s.ModelID != "llama" {
			t.Errorf("after the change: %s, %s", s.ProviderID, s.ModelID)
		}
		bare.ProviderID = "openai"
		if s := create(bare); s.ProviderID != "openai" || s.ModelID != "llama" {
			t.Errorf("with a provider: %s, %s", s.ProviderID, s.ModelID)
		}
	})
	t.Run("of when they were first asked for", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		bare := newSession(r.project())
		bare.ModelID = ""
		first := must(r.CreateSession(r.by(request{key: "k"}), bare))(t)
		r.set(`{"default_model_id":"another"}`)
		again := must(r.CreateSession(r.by(request{key: "k"}), bare))(t)
		if s := written[eventschema.ProjectSessionAdded](t, again).Session; !again.Replayed || s.ModelID != "gpt-4o-mini" ||
			s.SessionID != written[eventschema.SessionCreated](t, first).SessionID {
			t.Errorf("the repetition made %+v", s)
		}
	})
	t.Run("and are refused without a model, unless the project is the first mistake", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		c := newSession(r.project())
		c.ModelID = " "
		_, err := r.CreateSession(r.someone(), c)
		refused(t, err, commands.ErrNoModel)
		c.ProjectID = "proj_none"
		_, err = r.CreateSession(r.someone(), c)
		refused(t, err, project.ErrNotFound)
	})
}

func TestUpdateSettings(t *testing.T) {
	t.Parallel()
	t.Run("of several nodes at once loses nothing", func(t *testing.T) {
		t.Parallel()
		a := newRig(t)
		b := rigOn(t, a.log)
		names := []string{"c", "d", "e", "f", "g", "h"}
		together(len(names), func(i int) {
			r := []*rig{a, b}[i%2]
			if _, err := r.UpdateSettings(r.someone(), commands.UpdateSettings{Patch: json.RawMessage(`{"` + names[i] + `":1}`)}); err != nil {
				t.Error(err)
			}
		})
		records := a.records("settings-global")
		var document map[string]json.RawMessage
		last := decoded[eventschema.SettingsUpdated](t, records[len(records)-1])
		if err := json.Unmarshal(last.Settings, &document); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if string(document[name]) != "1" {
				t.Errorf("%s is lost in %s", name, last.Settings)
			}
		}
	})
	t.Run("sees what another node wrote before it refuses", func(t *testing.T) {
		t.Parallel()
		a := newRig(t)
		b := rigOn(t, a.log)
		b.set(`{"x":1}`)
		a.set(`{"x":2}`)
		seen := int64(0)
		_, err := b.UpdateSettings(b.someone(), commands.UpdateSettings{Patch: json.RawMessage(`{"x":3}`), Match: &seen})
		refused(t, err, settings.ErrPrecondition)
	})
}

func TestProviderConfig(t *testing.T) {
	t.Parallel()
	a := newRig(t)
	b := rigOn(t, a.log)
	config, err := b.ProviderConfig(t.Context(), "openai")
	if err != nil || !config.Enabled || config.ID != "openai" || config.APIKey != "" {
		t.Errorf("before any change: %+v, %v", config, err)
	}
	a.set(`{"providers":[{"provider_id":"openai","api_key":"sk-live-0123456789","headers":{"X-A":"b"},"extra":{"n":1},"models":["m"]}]}`)
	config, err = b.ProviderConfig(t.Context(), "openai")
	if err != nil || !config.Enabled || config.APIKey != "sk-live-0123456789" || config.Headers["X-A"] != "b" ||
		string(config.Extra) != `{"n":1}` || len(config.Models) != 1 {
		t.Errorf("after another node's change: %+v, %v", config, err)
	}
	if config, err = b.ProviderConfig(t.Context(), "anthropic"); err != nil || config.Enabled || config.ID != "anthropic" {
		t.Errorf("one that is not listed: %+v, %v", config, err)
	}
}
