package main

import (
	"time"

	"github.com/g4fagent/g4fagent/internal/agent/provider"
	"github.com/g4fagent/g4fagent/internal/agent/roster"
	"github.com/g4fagent/g4fagent/internal/dialguard"
)

// newProviders asks model providers where the settings say they are. Only an
// administrator can say that, so it may be this machine or its network; but what
// hands out a machine's credentials is never called. A local model is loaded
// before it begins to answer, for which the provider's client has its own
// patience.
func newProviders(configured roster.Settings) *roster.Roster {
	client := dialguard.Client(dialguard.Policy{AllowLoopback: true, AllowPrivate: true, HeaderTimeout: provider.DefaultStartTimeout})
	return roster.New(roster.Options{Settings: configured, HTTP: client, Now: time.Now})
}
