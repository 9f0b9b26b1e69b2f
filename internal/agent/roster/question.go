package roster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
	"github.com/g4fagent/g4fagent/internal/fault"
)

const (
	// scanWithin bounds asking one provider whether it is there.
	scanWithin = 5 * time.Second
	// testWithin bounds a test, choosing the model included.
	testWithin = 20 * time.Second
)

// Presence is whether a provider is there.
type Presence struct {
	ProviderID string
	// Asked is false when there was nobody to ask: the provider is unknown, switched
	// off or not configured.
	Asked bool
	// Reason is for people, without secrets, and empty when the provider is there.
	Reason string
}

// Scan asks the providers that are included, or all when none is, whether they
// are there and take our credentials: at the same time, each for at most five
// seconds. The answers come in the order of provider.Known, unknown ones last.
// The error is ctx's, or one of Settings.
func (r *Roster) Scan(ctx context.Context, include []string) ([]Presence, error) {
	ids := inOrder(include)
	found, errs := make([]Presence, len(ids)), make([]error, len(ids))
	var asking sync.WaitGroup
	for i, id := range ids {
		asking.Go(func() { found[i], errs[i] = r.present(ctx, id) })
	}
	asking.Wait()
	return found, errors.Join(errs...)
}

// inOrder are the ids of the known providers that are included, then the others
// as they came; each once.
func inOrder(include []string) []string {
	var ids []string
	for _, d := range provider.Known() {
		if len(include) == 0 || slices.Contains(include, d.ID) {
			ids = append(ids, d.ID)
		}
	}
	for _, id := range include {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (r *Roster) present(ctx context.Context, id string) (Presence, error) {
	p := Presence{ProviderID: id}
	client, err := r.Client(ctx, id)
	if err == nil {
		p.Asked = true
		limited, cancel := context.WithTimeout(ctx, scanWithin)
		defer cancel()
		err = client.Ping(limited)
	}
	p.Reason, err = reason(ctx, err)
	return p, err
}

// Trial is whether a model answers.
type Trial struct {
	ProviderID string
	// ModelID is the model that was asked, empty when none could be chosen.
	ModelID string
	// Asked is false when there was nobody to ask.
	Asked   bool
	Latency time.Duration
	// Reason is for people, without secrets, and empty when the model answered.
	Reason string
}

// Test makes the smallest real request to a model, for at most twenty seconds.
// Without a model it takes the first that the configuration names, or else one
// that chats as far as is known, or else the first on offer. The error is
// agent.ErrProviderNotFound, ctx's, or one of Settings.
func (r *Roster) Test(ctx context.Context, providerID, modelID string) (Trial, error) {
	t := Trial{ProviderID: providerID, ModelID: modelID}
	client, err := r.Client(ctx, providerID)
	if errors.Is(err, agent.ErrProviderNotFound) {
		return Trial{}, err
	}
	if err == nil {
		t.Asked = true
		limited, cancel := context.WithTimeout(ctx, testWithin)
		defer cancel()
		err = r.try(limited, client, &t)
	}
	t.Reason, err = reason(ctx, err)
	return t, err
}

func (r *Roster) try(ctx context.Context, client provider.Client, t *Trial) (err error) {
	if t.ModelID == "" {
		began := r.options.Now()
		if t.ModelID, err = r.choose(ctx, t.ProviderID); err != nil {
			t.Latency = r.options.Now().Sub(began)
			return err
		}
	}
	t.Latency, err = client.Test(ctx, t.ModelID)
	return err
}

var errNoModels = &provider.Error{Kind: provider.KindNotFound, Message: "the provider offers no models"}

func (r *Roster) choose(ctx context.Context, providerID string) (string, error) {
	m, err := r.member(ctx, providerID)
	if err != nil {
		return "", err
	}
	if len(m.config.Models) > 0 {
		return m.config.Models[0], nil
	}
	models, _, err := r.Models(ctx, providerID)
	switch {
	case err != nil:
		return "", err
	case len(models) == 0:
		return "", errNoModels
	}
	return talkative(providerID, models), nil
}

// talkative is a model that chats: one that the house knows to, the smallest
// first, or one of which the provider says so. Without either it is the first.
func talkative(providerID string, models []provider.Model) string {
	definition, _ := provider.Lookup(providerID)
	for _, id := range definition.ChatModels {
		if slices.ContainsFunc(models, func(m provider.Model) bool { return m.ID == id }) {
			return id
		}
	}
	chats := func(m provider.Model) bool { return slices.Contains(m.Capabilities, "chat") }
	return models[max(slices.IndexFunc(models, chats), 0)].ID
}

// reason parts why a question was not answered from why it could not be asked
// at all: the caller left, or the settings cannot be read.
func reason(ctx context.Context, err error) (string, error) {
	if err != nil && ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if e, ok := errors.AsType[*provider.Error](err); ok {
		return e.Message, nil
	}
	if f, ok := errors.AsType[*fault.Error](err); ok && (errors.Is(f, agent.ErrProviderNotFound) || errors.Is(f, agent.ErrProviderDisabled)) {
		return f.Text, nil
	}
	return "", err
}
