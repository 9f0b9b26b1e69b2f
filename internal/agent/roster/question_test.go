package roster_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
	"github.com/g4fagent/g4fagent/internal/agent/roster"
)

func TestScan(t *testing.T) {
	t.Parallel()
	t.Run("says who is there and why others are not", func(t *testing.T) {
		t.Parallel()
		u, r := newUpstream(t), newRig()
		r.settings.set("openai", u.config())
		wrong := u.config()
		wrong.APIKey = key + "x"
		r.settings.set("ollama", wrong)
		r.settings.set("custom", roster.Config{Enabled: true})
		found, err := r.Scan(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, p := range found {
			if strings.Contains(p.Reason, key) {
				t.Errorf("a reason tells the key: %s", p.Reason)
			}
			told = append(told, p.ProviderID+": "+p.Reason)
			if asked := p.ProviderID == "openai" || p.ProviderID == "ollama"; asked != p.Asked {
				t.Errorf("%s: asked is %v", p.ProviderID, p.Asked)
			}
		}
		if d := cmp.Diff([]string{
			"openai: ",
			"anthropic: The model provider is switched off in the settings.",
			"ollama: the provider refuses the credentials (HTTP 401): Incorrect API key provided: [redacted]",
			"g4f: The model provider is switched off in the settings.",
			"custom: the provider has no base_url",
		}, told); d != "" {
			t.Error(d)
		}
	})
	t.Run("asks those that are included, at the same time", func(t *testing.T) {
		t.Parallel()
		u, r := newUpstream(t), newRig()
		var both sync.WaitGroup
		both.Add(2)
		u.during = func() { both.Done(); both.Wait() } // one after the other would never get on
		r.settings.set("openai", u.config())
		r.settings.set("custom", u.config())
		found, err := r.Scan(t.Context(), []string{"nobody", "custom", "openai", "custom"})
		want := []roster.Presence{
			{ProviderID: "openai", Asked: true},
			{ProviderID: "custom", Asked: true},
			{ProviderID: "nobody", Reason: "There is no such model provider."},
		}
		if d := cmp.Diff(want, found); err != nil || d != "" {
			t.Fatal(err, d)
		}
	})
	t.Run("says nothing of providers when the caller leaves or the settings are away", func(t *testing.T) {
		t.Parallel()
		u, r := newUpstream(t), newRig()
		r.settings.set("openai", u.config())
		leaving, leave := context.WithCancel(t.Context())
		u.during = leave
		if _, err := r.Scan(leaving, []string{"openai"}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		r.settings.err = errors.New("the log is away")
		if _, err := r.Scan(t.Context(), nil); !errors.Is(err, r.settings.err) {
			t.Errorf("got %v", err)
		}
	})
}

func TestTest(t *testing.T) {
	t.Parallel()
	u, r := newUpstream(t), newRig()
	r.settings.set("openai", u.config())
	wrong := u.config()
	wrong.APIKey = ""
	r.settings.set("custom", wrong)
	for _, tt := range []struct {
		name, provider, model string
		want                  roster.Trial
	}{
		{"asks the model", "openai", "m", roster.Trial{ModelID: "m", Asked: true}},
		{"takes the first model on offer", "openai", "", roster.Trial{ModelID: "large", Asked: true}},
		{"says why there was no answer", "custom", "m", roster.Trial{
			ModelID: "m", Asked: true, Reason: "the provider refuses the credentials (HTTP 401): Incorrect API key provided:",
		}},
		{"says why there was no model", "custom", "", roster.Trial{
			Asked: true, Reason: "the provider refuses the credentials (HTTP 401): Incorrect API key provided:",
		}},
		{"asks nobody who is switched off", "g4f", "m", roster.Trial{ModelID: "m", Reason: agent.ErrProviderDisabled.Text}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := r.Test(t.Context(), tt.provider, tt.model)
			if err != nil {
				t.Fatal(err)
			}
			if measured := got.Latency > 0; measured != (got.Asked && got.ModelID != "") {
				t.Errorf("latency %v", got.Latency)
			}
			tt.want.ProviderID, got.Latency = tt.provider, 0
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	for _, tt := range []struct {
		name, provider string
		offers, named  []string
		want           string
	}{
		{"first the configuration's", "openai", []string{"gpt-4o-mini"}, []string{"mine", "also-mine"}, "mine"},
		{"then one that is known to chat, the cheapest first", "openai", []string{"babbage-002", "gpt-5-mini", "gpt-4o-mini"}, nil, "gpt-4o-mini"},
		{"then one that is said to chat", "custom", []string{"a-embed", `b-chat","capabilities":["completion"],"x":"`}, nil, "b-chat"},
		{"then any", "openai", []string{"whisper", "davinci"}, nil, "davinci"},
	} {
		t.Run("without a model asks "+tt.name, func(t *testing.T) {
			t.Parallel()
			u, r := newUpstream(t), newRig()
			for _, id := range tt.offers {
				u.offers = append(u.offers, `{"id":"`+id+`"}`)
			}
			config := u.config()
			config.Models = tt.named
			r.settings.set(tt.provider, config)
			if got, err := r.Test(t.Context(), tt.provider, ""); err != nil || got.ModelID != tt.want || got.Reason != "" {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	t.Run("refuses an unknown provider", func(t *testing.T) {
		t.Parallel()
		if _, err := r.Test(t.Context(), "nobody", "m"); !errors.Is(err, agent.ErrProviderNotFound) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("says when there are no models to choose from", func(t *testing.T) {
		t.Parallel()
		r := newRig()
		r.settings.set("custom", roster.Config{Enabled: true, Config: provider.Config{BaseURL: closed(t)}})
		if got, err := r.Test(t.Context(), "custom", ""); err != nil || !got.Asked || got.Reason == "" || got.ModelID != "" {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
