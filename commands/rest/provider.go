package rest

import (
	"context"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/agent/roster"
)

// Providers asks the model providers, as they are configured now.
type Providers interface {
	// Scan asks those that are included, or all, whether they are there.
	Scan(ctx context.Context, include []string) ([]roster.Presence, error)
	// Test makes the smallest real request to a model, or to one that it chooses.
	Test(ctx context.Context, providerID, modelID string) (roster.Trial, error)
}

// ScanProviders answers POST /providers/scan: each provider that could be asked
// has its fact in the log, once it was asked. Asking again costs nothing, so a
// request that is repeated asks again, and is answered with what was recorded.
func (c Commands) ScanProviders(ctx context.Context, r api.ScanProvidersRequestObject) (api.ScanProvidersResponseObject, error) {
	var include []string
	if r.Body != nil {
		include = r.Body.Include
	}
	found, err := c.Providers.Scan(ctx, include)
	if err != nil {
		return nil, err
	}
	answer := api.ScanProviders200JSONResponse{OK: true, Discovered: []string{}, Warnings: []string{}}
	var all []commands.Receipt
	for _, p := range found {
		e := eventschema.ProviderScanned{ProviderID: p.ProviderID, Reachable: p.Reason == "", Reason: p.Reason}
		if p.Asked {
			receipt, err := c.Handlers.RecordProviderScanned(ctx, e)
			if err != nil {
				return nil, err
			}
			all, e = append(all, receipt), wrote[eventschema.ProviderScanned](receipt)
		}
		if e.Reachable {
			answer.Discovered = append(answer.Discovered, e.ProviderID)
		} else {
			answer.Warnings = append(answer.Warnings, e.ProviderID+": "+e.Reason)
		}
	}
	c.appended(ctx, together(all))
	return answer, nil
}

// together is the receipt of what took several appends: it is replayed only as a
// whole.
func together(all []commands.Receipt) commands.Receipt {
	t := commands.Receipt{Replayed: len(all) > 0}
	for _, r := range all {
		t.Events = append(t.Events, r.Events...)
		t.Replayed = t.Replayed && r.Replayed
		if t.Position.Less(r.Position) {
			t.Position = r.Position
		}
	}
	return t
}

// TestProvider answers POST /providers/{provider_id}/test. A provider that does
// not answer is no error; one that cannot be asked has no fact in the log.
func (c Commands) TestProvider(ctx context.Context, r api.TestProviderRequestObject) (api.TestProviderResponseObject, error) {
	receipt, before, err := c.Handlers.ProviderTestedBefore(ctx, r.ProviderID)
	if err != nil {
		return nil, err
	}
	if before {
		c.appended(ctx, receipt)
		return tested(wrote[eventschema.ProviderTested](receipt)), nil
	}
	model, err := c.modelToTest(ctx, r)
	if err != nil {
		return nil, err
	}
	t, err := c.Providers.Test(ctx, r.ProviderID, model)
	if err != nil {
		return nil, err
	}
	e := eventschema.ProviderTested{
		ProviderID: t.ProviderID, ModelID: t.ModelID, OK: t.Reason == "", LatencyMS: t.Latency.Milliseconds(), Reason: t.Reason,
	}
	if t.Asked {
		if receipt, err = c.Handlers.RecordProviderTested(ctx, e); err != nil {
			return nil, err
		}
		e = wrote[eventschema.ProviderTested](receipt)
	}
	c.appended(ctx, receipt)
	return tested(e), nil
}

// modelToTest is the one that the client names, or the settings' default if it is
// this provider's; empty leaves it to the provider.
func (c Commands) modelToTest(ctx context.Context, r api.TestProviderRequestObject) (string, error) {
	if r.Body != nil && or(r.Body.ModelID, "") != "" {
		return *r.Body.ModelID, nil
	}
	providerID, modelID, err := c.Handlers.SessionDefaults(ctx)
	if err != nil || providerID != r.ProviderID {
		return "", err
	}
	return modelID, nil
}

func tested(e eventschema.ProviderTested) api.TestProvider200JSONResponse {
	answer := api.TestProvider200JSONResponse{OK: e.OK, LatencyMs: e.LatencyMS, Details: e.Reason}
	if e.OK {
		answer.Details = e.ModelID + " answered."
	}
	return answer
}
