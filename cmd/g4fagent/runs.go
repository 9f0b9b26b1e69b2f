package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/commands/reactors"
	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/postgres"
)

var reacting = postgres.LockKey("g4fagent", "reactors")

// runGrace is how long runs may go on when the server is told to end. What is not
// finished then is interrupted, and goes on with the next start.
const runGrace = time.Second

// newReactors makes what turns events into work: runs, and the completion of what
// spans several streams.
func (s *system) newReactors(installation string, r prometheus.Registerer) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("name this node: %w", err)
	}
	s.reactors, err = reactors.New(reactors.Options{
		DB: s.db, Log: s.log, Feed: s.feed, Handlers: s.handlers, Sealer: s.vault, InstallationID: installation,
		Executor:   agent.New(agent.Options{Providers: s.providers, MaxContextTokens: maxContextTokens}),
		NodeID:     "node-" + hex.EncodeToString(id[:8]),
		RunWorkers: s.config.runWorkers, Grace: runGrace, Now: time.Now, Logger: s.logger, Registerer: r,
	})
	return err
}

func (s *system) react(ctx context.Context) error { return s.lead(ctx, reacting, s.reactors.Run) }
