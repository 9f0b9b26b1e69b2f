package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/g4fagent/g4fagent/commands/reactors"
	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/postgres"
)

var reacting = postgres.LockKey("g4fagent", "reactors")

// runGrace is how long runs may go on when the server is told to end. What is not
// finished then is interrupted, and goes on with the next start.
const runGrace = time.Second

// runFlags bound what one run may take.
func (c *config) runFlags(f *pflag.FlagSet) {
	f.DurationVar(&c.runTimeout, "run-timeout", agent.DefaultRunTimeout, "time that one attempt at a run may take, at least 1s")
	f.Int64Var(&c.runMaxOutput, "run-max-output-tokens", 0,
		"tokens of one answer at most, of which a session's config may ask for fewer; 0 leaves it to the config and the provider")
}

// checkRuns checks runFlags, where they are among f.
func (c *config) checkRuns(f *pflag.FlagSet) error {
	switch {
	case f.Lookup("run-timeout") == nil:
		return nil
	case c.runTimeout < time.Second:
		return usageError{fmt.Errorf("run-timeout is %s and must be at least 1s", c.runTimeout)}
	case c.runMaxOutput < 0 || c.runMaxOutput >= maxContextTokens:
		return usageError{fmt.Errorf("run-max-output-tokens is %d and must be from 0 to %d: a conversation and its answer share %d",
			c.runMaxOutput, maxContextTokens-1, maxContextTokens)}
	default:
		return nil
	}
}

// newReactors makes what turns events into work: runs, and the completion of what
// spans several streams.
func (s *system) newReactors(installation string, r prometheus.Registerer) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("name this node: %w", err)
	}
	s.reactors, err = reactors.New(reactors.Options{
		DB: s.db, Log: s.log, Feed: s.feed, Handlers: s.handlers, Sealer: s.vault, InstallationID: installation,
		Executor: agent.New(agent.Options{
			Providers: s.providers, MaxContextTokens: maxContextTokens, MaxOutputTokens: s.config.runMaxOutput, RunTimeout: s.config.runTimeout,
		}),
		NodeID:     "node-" + hex.EncodeToString(id[:8]),
		RunWorkers: s.config.runWorkers, Grace: runGrace, Now: time.Now, Logger: s.logger, Registerer: r,
	})
	return err
}

func (s *system) react(ctx context.Context) error { return s.lead(ctx, reacting, s.reactors.Run) }
