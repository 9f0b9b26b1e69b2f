package esnode_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"

	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
)

func onDisk(b *testing.B) func(*esnode.Options) {
	b.Helper()
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

// BenchmarkAppendNothing is what BenchmarkAppend is measured by: the same client
// and the same calls, answered by a server that stores nothing.
func BenchmarkAppendNothing(b *testing.B) {
	for _, c := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("c=%d", c), func(b *testing.B) {
			path := filepath.Join(esnodetest.SocketDir(b), "s")
			listener, err := new(net.ListenConfig).Listen(b.Context(), "unix", path)
			if err != nil {
				b.Fatal(err)
			}
			server := grpc.NewServer()
			streams.RegisterStreamsServer(server, nothing{})
			go func() { _ = server.Serve(listener) }()
			b.Cleanup(server.Stop)
			benchmarkAppend(b, esnodetest.Client(b, "unix:"+path), c)
		})
	}
}

type nothing struct {
	streams.UnimplementedStreamsServer
}

func (nothing) Append(call streams.Streams_AppendServer) error {
	for {
		if _, err := call.Recv(); err != nil {
			return call.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
				PositionOption: &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{}},
			}}})
		}
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
	before := cpuTime(b)
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
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
	all := slices.Concat(times...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkAppendWatched is what 200 subscriptions cost appends that do not
// concern them: they follow other streams, or the log with a filter.
func BenchmarkAppendWatched(b *testing.B) {
	const subscriptions, perClient = 200, 50
	subscribe := map[string]func(*esdb.Client) (*esdb.Subscription, error){
		"none": nil,
		"streams": func(c *esdb.Client) (*esdb.Subscription, error) {
			return c.SubscribeToStream(b.Context(), "elsewhere", esdb.SubscribeToStreamOptions{})
		},
		"log": func(c *esdb.Client) (*esdb.Subscription, error) {
			return c.SubscribeToAll(b.Context(), esdb.SubscribeToAllOptions{
				MaxSearchWindow: 10_000,
				Filter:          &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"elsewhere"}},
			})
		},
	}
	for _, c := range []int{1, 16} {
		for _, of := range []string{"none", "streams", "log"} {
			b.Run(fmt.Sprintf("%s/c=%d", of, c), func(b *testing.B) {
				node := esnodetest.Start(b, onDisk(b))
				for i := 0; subscribe[of] != nil && i < subscriptions; i += perClient {
					client := node.Client(b)
					for range perClient {
						sub, err := subscribe[of](client)
						if err != nil {
							b.Fatal(err)
						}
						go func() {
							for sub.Recv().SubscriptionDropped == nil {
							}
						}()
						b.Cleanup(func() { _ = sub.Close() })
					}
				}
				benchmarkAppend(b, node.Client(b), c)
			})
		}
	}
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
		if _, err := r.Recv(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

// cpuTime is what the process has used, which other processes disturb less than
// they do the clock.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
