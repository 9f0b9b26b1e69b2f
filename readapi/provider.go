package readapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/httpx"
	"github.com/g4fagent/g4fagent/projections/providers"
	"github.com/g4fagent/g4fagent/projections/settings"
)

// Providers asks the model providers, as they are configured now.
type Providers interface {
	// Models lists what a provider offers, sorted by its ID, in bounded time, and
	// when it told so; zero if the list is not from the provider.
	Models(ctx context.Context, providerID string) ([]provider.Model, time.Time, error)
}

// ranked is an item of a list whose order is not time: its rank is its cursor.
type ranked[T any] struct {
	rank int64
	item T
}

// ranks are the items after the cursor that wanted wants, up to limit. Filters do
// not move an item's rank.
func ranks[T any](items []T, wanted func(T) bool, cursor int64, limit int) []ranked[T] {
	var kept []ranked[T]
	for i, item := range items {
		if rank := int64(i) + 1; rank > cursor && len(kept) < limit && wanted(item) {
			kept = append(kept, ranked[T]{rank, item})
		}
	}
	return kept
}

// ListProviders answers GET /providers: those that the house knows, as the
// settings have them.
func (q Reads) ListProviders(ctx context.Context, r api.ListProvidersRequestObject) (api.ListProvidersResponseObject, error) {
	configured, err := q.configuredProviders(ctx)
	if err != nil {
		return nil, err
	}
	checks, err := providers.Checks(ctx, q.DB)
	if err != nil {
		return nil, err
	}
	n := limit(r.Params.Limit)
	everyone := func(provider.Definition) bool { return true }
	items, next := page(ranks(provider.Known(), everyone, cursor(r.Params.Cursor), n+1), n,
		func(d ranked[provider.Definition]) api.Provider {
			check, checked := checks[d.item.ID]
			return providerOf(d.item, configured[d.item.ID], check.At, checked)
		},
		func(d ranked[provider.Definition]) int64 { return d.rank })
	return api.ListProviders200JSONResponse{Items: items, NextCursor: next}, nil
}

// configuredProvider is what the settings show of a provider.
type configuredProvider struct {
	ProviderID string `json:"provider_id"`
	Enabled    *bool  `json:"enabled"`
	BaseURL    string `json:"base_url"`

	listed bool
}

func (q Reads) configuredProviders(ctx context.Context) (map[string]configuredProvider, error) {
	s, err := settings.Current(ctx, q.DB)
	if err != nil {
		return nil, err
	}
	var document struct {
		Providers []configuredProvider `json:"providers"`
	}
	if err := json.Unmarshal(s.Document, &document); err != nil {
		return nil, fmt.Errorf("read the settings' providers: %w", err)
	}
	byID := make(map[string]configuredProvider, len(document.Providers))
	for _, p := range document.Providers {
		p.listed = true
		byID[p.ProviderID] = p
	}
	return byID, nil
}

// providerOf is active when the settings allow it to be asked, as the command
// side judges it: listed, and not switched off.
func providerOf(d provider.Definition, c configuredProvider, checked time.Time, ever bool) api.Provider {
	shown := api.Provider{
		ID: d.ID, Label: d.Label, Type: api.ProviderType(d.Type), Status: api.ProviderStatusIdle, BaseURL: d.BaseURL,
		Supports: api.ProviderSupports{
			Chat: d.Supports.Chat, Tools: d.Supports.Tools, Vision: d.Supports.Vision,
			Embeddings: d.Supports.Embeddings, Audio: d.Supports.Audio, Streaming: d.Supports.Streaming,
		},
	}
	if c.listed && (c.Enabled == nil || *c.Enabled) {
		shown.Status = api.ProviderStatusActive
	}
	if c.BaseURL != "" {
		shown.BaseURL = c.BaseURL
	}
	if ever {
		at := api.Time(checked)
		shown.LastCheckedAt = &at
	}
	return shown
}

// errProviderAway says why a list of models cannot be had.
var errProviderAway = fault.New(fault.Unavailable, "unavailable", "The provider cannot be asked for its models.")

// ListModels answers GET /providers/{provider_id}/models, by what the provider
// says of itself, with the age of that. One that is switched off is not asked, and
// offers nothing.
func (q Reads) ListModels(ctx context.Context, r api.ListModelsRequestObject) (api.ListModelsResponseObject, error) {
	models, told, err := q.Providers.Models(ctx, r.ProviderID)
	if e, ok := errors.AsType[*provider.Error](err); ok && ctx.Err() == nil {
		return nil, errProviderAway.Saying("The models of %s cannot be listed: %s.", r.ProviderID, strings.TrimSuffix(e.Message, ".")).After(max(e.RetryAfter, time.Second))
	}
	if err != nil && !errors.Is(err, agent.ErrProviderDisabled) {
		return nil, err
	}
	if !told.IsZero() {
		httpx.Header(ctx).Set("Age", age(q.Now().Sub(told)))
	}
	n := limit(r.Params.Limit)
	items, next := page(ranks(models, offered(text(r.Params.Q), text(r.Params.Capability)), cursor(r.Params.Cursor), n+1), n,
		func(m ranked[provider.Model]) api.Model { return model(m.item) },
		func(m ranked[provider.Model]) int64 { return m.rank })
	return api.ListModels200JSONResponse{Items: items, NextCursor: next}, nil
}

// age is a duration in whole seconds, as RFC 9111 counts.
func age(d time.Duration) string { return strconv.FormatInt(int64(max(d, 0)/time.Second), 10) }

// offered wants models with the text in their name, in any case, that have the
// capability; an empty filter does not narrow.
func offered(name, capability string) func(provider.Model) bool {
	name, capability = strings.ToLower(name), strings.ToLower(strings.TrimSpace(capability))
	return func(m provider.Model) bool {
		named := strings.Contains(strings.ToLower(m.ID), name) || strings.Contains(strings.ToLower(m.Label), name)
		return named && (capability == "" || slices.Contains(m.Capabilities, capability))
	}
}

func model(m provider.Model) api.Model {
	shown := api.Model{ID: m.ID, Label: m.Label, ContextTokens: m.ContextTokens, Capabilities: m.Capabilities, Pricing: m.Pricing}
	if shown.Capabilities == nil {
		shown.Capabilities = []string{}
	}
	if shown.Pricing == nil {
		shown.Pricing = json.RawMessage(`{}`)
	}
	return shown
}
