package conformance_test

import (
	"os"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/g4fagent/g4fagent/internal/esnode/conformance"
	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
)

// TestNode holds the embedded node to every behaviour.
func TestNode(t *testing.T) {
	t.Parallel()
	node := esnodetest.Start(t)
	config := parse(t, "esdb://localhost:1?tls=false")
	config.Address = node.Addr()
	run(t, config)
}

// TestServer holds the server at TEST_EVENTSTORE_URL to every behaviour; without
// one there is no such test.
func TestServer(t *testing.T) {
	t.Parallel()
	if url := os.Getenv("TEST_EVENTSTORE_URL"); url != "" {
		run(t, parse(t, url))
	}
}

func parse(t *testing.T, url string) *esdb.Configuration {
	t.Helper()
	config, err := esdb.ParseConnectionString(url)
	if err != nil {
		t.Fatalf("read the event store's address: %v", err)
	}
	return config
}

func run(t *testing.T, config *esdb.Configuration) {
	t.Helper()
	conformance.Run(t, func(t testing.TB) conformance.Client {
		t.Helper()
		own := *config
		return connect(t, &own)
	})
}
