package live_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/readapi/live"
)

// The document's table of what a stream shows is what it shows.
func TestStoredEventsAreShownAsDocumented(t *testing.T) {
	t.Parallel()
	documented := api.StreamEvents()
	for _, name := range eventschema.All.Names() {
		version := eventschema.All.Version(name)
		sample, err := os.ReadFile(filepath.Join("..", "..", "eventschema", "testdata", name, fmt.Sprintf("v%d.json", version)))
		if err != nil {
			t.Fatal(err)
		}
		stored := eventschema.Stored{Name: name, Version: version, Data: sample}
		e, shown, err := live.Show(eventlog.Record{Stored: stored}, eventschematest.Sealer{})
		if err != nil {
			t.Fatal(err)
		}
		if want, ok := documented[name]; shown != ok || e.Type != want.Type {
			t.Errorf("%s is shown (%v) as %q, the document says (%v) %q", name, shown, e.Type, ok, want.Type)
		}
	}
}
