package roster

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/g4fagent/g4fagent/internal/agent/provider"
)

const (
	// listWithin bounds asking a provider for its models.
	listWithin = 10 * time.Second
	// listFresh is how long a list serves without asking again, and listUsable how
	// long it serves while the provider cannot be asked.
	listFresh  = 5 * time.Minute
	listUsable = 24 * time.Hour
)

// list is what a provider last told of its models.
type list struct {
	asking singleflight.Group

	mu     sync.Mutex
	models []provider.Model
	at     time.Time
}

// Models lists what a provider offers, sorted by ID, as it told within the last
// five minutes. A provider that cannot be asked offers what the configuration
// says it does, or else what it told within the last day; only without either is
// there an error: a *provider.Error, or one of Client. Callers at the same time
// share one request. The time is when the provider told so, by Options.Now, and
// zero for what the configuration says.
func (r *Roster) Models(ctx context.Context, providerID string) ([]provider.Model, time.Time, error) {
	m, err := r.member(ctx, providerID)
	if err != nil {
		return nil, time.Time{}, err
	}
	if models, at := m.list.within(r.options.Now(), listFresh); models != nil {
		return models, at, nil
	}
	if err = m.ask(ctx, r.options.Now); err == nil || ctx.Err() != nil {
		models, at := m.list.within(r.options.Now(), listFresh)
		return models, at, err
	}
	if models := m.configured(); len(models) > 0 {
		return models, time.Time{}, nil
	}
	if models, at := m.list.within(r.options.Now(), listUsable); models != nil {
		return models, at, nil
	}
	return nil, time.Time{}, err
}

// ask fills the list anew. The request goes on when its first caller leaves: it
// has others.
func (m *member) ask(ctx context.Context, now func() time.Time) error {
	answer := m.list.asking.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listWithin)
		defer cancel()
		models, err := m.client.Models(ctx)
		if err == nil {
			m.list.keep(models, now())
		}
		return nil, err
	})
	select {
	case a := <-answer:
		return a.Err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// configured are the models that the settings name, of which nothing else is
// known.
func (m *member) configured() []provider.Model {
	models := make([]provider.Model, 0, len(m.config.Models))
	for _, id := range slices.Compact(slices.Sorted(slices.Values(m.config.Models))) {
		models = append(models, provider.Model{ID: id, Label: id})
	}
	return models
}

func (l *list) keep(models []provider.Model, at time.Time) {
	slices.SortFunc(models, func(a, b provider.Model) int { return strings.Compare(a.ID, b.ID) })
	if models == nil {
		models = []provider.Model{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.models, l.at = models, at
}

// within is the list and when it was told, unless it is older than age; or nil.
// It is shared.
func (l *list) within(now time.Time, age time.Duration) ([]provider.Model, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.at) >= age {
		return nil, time.Time{}
	}
	return l.models, l.at
}
