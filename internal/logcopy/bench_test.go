package logcopy_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
	"github.com/g4fagent/g4fagent/internal/logcopy"
)

// BenchmarkCopy copies 10,000 events of 400 bytes between two servers on disk, and
// compares them: one to an append, which is the worst case, or 20.
func BenchmarkCopy(b *testing.B) {
	for _, each := range []int{1, 20} {
		b.Run(fmt.Sprintf("events_in_a_row=%d", each), func(b *testing.B) {
			const events = 10_000
			open := func(node *esnodetest.Node) *logcopy.Store {
				store, err := logcopy.Open(logcopy.Where{Address: node.Addr()})
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = store.Close() })
				return store
			}
			onDisk := func(o *esnode.Options) { o.Dir, o.FS = filepath.Join(b.TempDir(), "log"), nil }
			source := esnodetest.Start(b, onDisk)
			client := source.Client(b)
			for n := 0; n < events; n += each {
				batch := make([]esdb.EventData, each)
				for i := range batch {
					batch[i] = esdb.EventData{EventID: uuid.New(), EventType: "e", Data: bytes.Repeat([]byte("x"), 400)}
				}
				if _, err := client.AppendToStream(b.Context(), fmt.Sprint("s-", n/each%100), esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, batch...); err != nil {
					b.Fatal(err)
				}
			}
			from := open(source)
			for b.Loop() {
				b.StopTimer()
				to := open(esnodetest.Start(b, onDisk))
				b.StartTimer()
				if _, err := logcopy.Copy(b.Context(), from, to, logcopy.Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
