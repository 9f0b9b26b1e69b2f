// Package eventlogtest opens logs for tests, each on an event store in memory.
package eventlogtest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

const bound = 10 * time.Second

// Open opens a log that ends with the test and that nobody else uses.
func Open(t testing.TB) *eventlog.Log {
	t.Helper()
	return At(t, esnodetest.Start(t).Addr())
}

// At opens a log on the event store at an address.
func At(t testing.TB, address string) *eventlog.Log {
	t.Helper()
	log, err := eventlog.Open(t.Context(), eventlog.Options{Address: address, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("open the log: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		if err := log.Close(ctx); err != nil {
			t.Errorf("close the log: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if err := log.Ready(ctx); err != nil {
		t.Fatalf("reach the log: %v", err)
	}
	return log
}
