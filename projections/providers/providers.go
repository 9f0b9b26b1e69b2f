// Package providers is the read model of what asking the model providers last
// came to, behind GET /providers.
package providers

import (
	"context"
	_ "embed"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections"
)

//go:embed schema.sql
var schema string

// Projector writes the table that the query below reads.
func Projector() *projections.Projector {
	return projections.New("providers_v1", schema, projections.On(scanned), projections.On(tested))
}

func scanned(b *projections.Batch, r eventlog.Record, e eventschema.ProviderScanned) {
	checked(b, e.ProviderID, r.Meta.At, e.Reachable, e.Reason)
}

func tested(b *projections.Batch, r eventlog.Record, e eventschema.ProviderTested) {
	checked(b, e.ProviderID, r.Meta.At, e.OK, e.Reason)
}

func checked(b *projections.Batch, id string, at time.Time, reachable bool, reason string) {
	b.Exec(`insert into providers_v1 (provider_id, checked_at, reachable, reason) values ($1, $2, $3, $4)
		on conflict (provider_id) do update set checked_at = excluded.checked_at, reachable = excluded.reachable, reason = excluded.reason`,
		id, at, reachable, reason)
}

// Check is what asking a provider last came to.
type Check struct {
	ProviderID string
	At         time.Time
	Reachable  bool
	Reason     string
}

// Checks returns the last check of each provider that was ever asked, by its id.
func Checks(ctx context.Context, db projections.Querier) (map[string]Check, error) {
	list, err := projections.Many[Check](ctx, db, "provider checks", `select provider_id, checked_at, reachable, reason from providers_v1`)
	if err != nil {
		return nil, err
	}
	checks := make(map[string]Check, len(list))
	for _, c := range list {
		checks[c.ProviderID] = c
	}
	return checks, nil
}
