package esnode_test

import (
	"fmt"
	"io"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
)

func onDisk(b *testing.B) func(*esnode.Options) {
	return func(o *esnode.Options) { o.FS, o.Dir = nil, b.TempDir() }
}

// BenchmarkAppend appends single events of 400 bytes through the official client
// to a node on the disk.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("c=%d", c), func(b *testing.B) {
			client := esnodetest.Start(b, onDisk(b)).Client(b)
			benchmarkAppend(b, client, c)
		})
	}
}

func benchmarkAppend(b *testing.B, client *esdb.Client, c int) {
	b.Helper()
	event := esdb.EventData{EventType: "benchmark.event", ContentType: esdb.ContentTypeJson, Data: make([]byte, 400)}
	times := make([][]time.Duration, c)
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan struct{})
	b.ResetTimer()
	for w := range c {
		go func() {
			defer func() { done <- struct{}{} }()
			stream := fmt.Sprintf("benchmark-%d", w)
			var expected esdb.ExpectedRevision = esdb.NoStream{}
			for left.Add(-1) >= 0 {
				event := event
				event.EventID = uuid.New()
				start := time.Now()
				r, err := client.AppendToStream(b.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, event)
				if err != nil {
					b.Error(err)
					return
				}
				times[w] = append(times[w], time.Since(start))
				expected = esdb.Revision(r.NextExpectedVersion)
			}
		}()
	}
	for range c {
		<-done
	}
	b.StopTimer()
	all := slices.Concat(times...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkReadAll reads a log of 400-byte events through the official client.
func BenchmarkReadAll(b *testing.B) {
	client := esnodetest.Start(b, onDisk(b)).Client(b)
	events := make([]esdb.EventData, 500)
	for n := 0; n < b.N; n += len(events) {
		for i := range events {
			events[i] = esdb.EventData{EventID: uuid.New(), EventType: "benchmark.event", Data: make([]byte, 400)}
		}
		if _, err := client.AppendToStream(b.Context(), "s", esdb.AppendToStreamOptions{}, events...); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	r, err := client.ReadAll(b.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, math.MaxUint64)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	n := 0
	for ; ; n++ {
		if _, err := r.Recv(); err == io.EOF {
			break
		} else if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
