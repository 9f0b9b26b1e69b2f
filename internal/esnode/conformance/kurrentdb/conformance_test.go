package kurrentdb_test

import (
	"os"
	"testing"

	"github.com/kurrent-io/KurrentDB-Client-Go/kurrentdb"

	"github.com/g4fagent/g4fagent/internal/esnode/conformance"
)

// TestServer holds the server at TEST_EVENTSTORE_URL to every behaviour.
func TestServer(t *testing.T) {
	t.Parallel()
	url := os.Getenv("TEST_EVENTSTORE_URL")
	if url == "" {
		t.Fatal("TEST_EVENTSTORE_URL names no server: see scripts/conformance.sh")
	}
	config, err := kurrentdb.ParseConnectionString(url)
	if err != nil {
		t.Fatalf("read the event store's address: %v", err)
	}
	conformance.Run(t, func(t testing.TB) conformance.Client {
		t.Helper()
		own := *config
		return connect(t, &own)
	})
}
