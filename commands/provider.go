package commands

import (
	"context"

	"github.com/g4fagent/g4fagent/domain/provider"
	"github.com/g4fagent/g4fagent/eventschema"
)

func providerStream(id string) string { return "provider-" + id }

// RecordProviderScanned appends provider.scanned. The scan is over: that the
// client has left meanwhile does not undo it.
func (h *Handlers) RecordProviderScanned(ctx context.Context, e eventschema.ProviderScanned) (Receipt, error) {
	t := target{command: "RecordProviderScanned", stream: providerStream(e.ProviderID)}
	return decide(context.WithoutCancel(ctx), h, t, func(s provider.State) ([]eventschema.ProviderEvent, error) { return s.Scanned(e) })
}

// RecordProviderTested appends provider.tested. The test is over: that the client
// has left meanwhile does not undo it.
func (h *Handlers) RecordProviderTested(ctx context.Context, e eventschema.ProviderTested) (Receipt, error) {
	t := target{command: "RecordProviderTested", stream: providerStream(e.ProviderID)}
	return decide(context.WithoutCancel(ctx), h, t, func(s provider.State) ([]eventschema.ProviderEvent, error) { return s.Tested(e) })
}

// ProviderTestedBefore is the receipt of the test that was recorded under ctx's
// idempotency key, and false when there is none: a test costs the provider's
// price, so a request that is repeated must not repeat it.
func (h *Handlers) ProviderTestedBefore(ctx context.Context, providerID string) (Receipt, bool, error) {
	a := attempt[provider.State, eventschema.ProviderEvent]{
		h: h, target: target{stream: providerStream(providerID)}, meta: h.meta(ctx, ""),
	}
	if a.meta.IdempotencyKey == "" {
		return Receipt{}, false, nil
	}
	if err := a.begin(ctx); err != nil {
		return Receipt{}, false, err
	}
	return a.replay(ctx)
}
