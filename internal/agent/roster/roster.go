// Package roster keeps the clients of the model providers that an installation
// has configured, and asks them the small questions: are you there, what do you
// offer, does this model answer.
package roster

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
)

// Config is a provider as the installation's settings have it.
type Config struct {
	provider.Config
	// Enabled is whether it may be asked at all.
	Enabled bool
}

// Settings tells how a known provider is configured at the moment of asking.
type Settings interface {
	ProviderConfig(ctx context.Context, id string) (Config, error)
}

// Options are what a Roster is made of; all are required.
type Options struct {
	Settings Settings
	// HTTP asks the providers; who may be called is its affair.
	HTTP *http.Client
	Now  func() time.Time
}

// Roster finds clients. It is safe for concurrent use.
type Roster struct {
	options Options

	mu      sync.Mutex
	members map[string]*member
}

var _ agent.Providers = (*Roster)(nil)

// New makes a Roster.
func New(o Options) *Roster { return &Roster{options: o, members: map[string]*member{}} }

// Client is the client of a provider as it is configured now. One client serves
// until its configuration changes; what it was asked before goes on with the old
// one. The errors are agent.ErrProviderNotFound, agent.ErrProviderDisabled, a
// *provider.Error when the configuration makes no client, and those of Settings.
func (r *Roster) Client(ctx context.Context, providerID string) (provider.Client, error) {
	m, err := r.member(ctx, providerID)
	if err != nil {
		return nil, err
	}
	return m.client, nil
}

// member is a provider with a configuration, its client and what it told.
type member struct {
	config Config
	client provider.Client
	list   list
}

func (r *Roster) member(ctx context.Context, id string) (*member, error) {
	if _, known := provider.Lookup(id); !known {
		return nil, agent.ErrProviderNotFound
	}
	config, err := r.options.Settings.ProviderConfig(ctx, id)
	switch {
	case err != nil:
		return nil, fmt.Errorf("find how %s is configured: %w", id, err)
	case !config.Enabled:
		return nil, agent.ErrProviderDisabled
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.members[id]; m != nil && reflect.DeepEqual(m.config, config) {
		return m, nil
	}
	client, err := provider.New(config.Config, r.options.HTTP)
	if err != nil {
		return nil, err
	}
	m := &member{config: config, client: client}
	r.members[id] = m
	return m, nil
}
