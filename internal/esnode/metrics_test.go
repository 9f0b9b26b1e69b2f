package esnode_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// figures gathers one number of each metric: a counter's or gauge's value, or how
// often a histogram observed.
func figures(t *testing.T, r prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	figures := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := []string{f.GetName()}
			for _, l := range m.GetLabel() {
				name = append(name, l.GetValue())
			}
			figures[strings.Join(name, " ")] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return figures
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(bound); !holds(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s", what, bound)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	r := newRig(t, func(o *esnode.Options) { o.Registerer = registry })
	r.mustAppend("s", "a", "b")
	if _, err := r.append("s", esdb.NoStream{}, event("c")); err == nil {
		t.Error("a conflict is none")
	}
	r.subscribeAll(esdb.SubscribeToAllOptions{From: esdb.Start{}}).want(`0:"a"`)
	got := figures(t, registry)
	for name, want := range map[string]float64{
		"g4fagent_esnode_appends_total ok":       1,
		"g4fagent_esnode_appends_total conflict": 1,
		"g4fagent_esnode_commit_seconds":         1,
		"g4fagent_esnode_commit_events":          1,
		"g4fagent_esnode_sync_commits":           1,
		"g4fagent_esnode_sync_seconds":           1,
		"g4fagent_esnode_events_total":           2,
		"g4fagent_esnode_subscriptions":          1,
		"g4fagent_esnode_refusing":               0,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if got["g4fagent_esnode_bytes_total"] == 0 || got["g4fagent_esnode_log_bytes"] == 0 {
		t.Errorf("bytes are %v", got)
	}
	if _, err := esnode.Start(t.Context(), esnode.Options{
		FS: vfs.NewMem(), Dir: "log", Listen: "127.0.0.1:0", Registerer: registry,
	}); err == nil {
		t.Error("two nodes share one registry's names")
	}
}

func TestSlowestSubscription(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	r := newRig(t, func(o *esnode.Options) { o.Registerer = registry })
	behind := func() float64 { return figures(t, registry)["g4fagent_esnode_slowest_subscription_bytes"] }
	r.mustAppend("quiet", "a")
	r.subscribeStream("quiet", esdb.SubscribeToStreamOptions{From: esdb.Start{}}).want(`0:"a"`, "caught up")
	slow, err := r.stubs().Read(r.ctx, &streams.ReadReq{Options: &streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
			AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}},
		}},
		CountOption:  &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}},
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		UuidOption: &streams.ReadReq_Options_UUIDOption{
			Content: &streams.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	big := event("x")
	big.Data = make([]byte, 500_000)
	for range 6 {
		big.EventID = event("").EventID
		if _, err := r.append("s", esdb.Any{}, big); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "it is behind by what it has not read", func() bool { return behind() > 1_000_000 })
	for seen := 0; seen < 7; {
		m, err := slow.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if m.GetEvent() != nil {
			seen++
		}
	}
	eventually(t, "nothing is behind when it has read all", func() bool { return behind() == 0 })
}

func TestLittleSpace(t *testing.T) {
	t.Parallel()
	registry, fs := prometheus.NewRegistry(), vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 30})
	r := newRig(t, func(o *esnode.Options) {
		o.FS, o.Registerer, o.Floor = fs, registry, storage.Floor{Bytes: 1 << 20}
	})
	r.mustAppend("s", "a")
	s := r.subscribeAll(esdb.SubscribeToAllOptions{From: esdb.Start{}})
	s.want(`0:"a"`, "caught up")

	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 19, TotalBytes: 1 << 30})
	if got := figures(t, registry); got["g4fagent_esnode_refusing"] != 1 || got["g4fagent_esnode_disk_free_bytes"] != 1<<19 {
		t.Errorf("the metrics are %v", got)
	}
	_, err := r.append("s", esdb.Revision(0), event("b"))
	if statusCode(err) != codes.ResourceExhausted {
		t.Errorf("an append got %v", err)
	}
	r.wantStream("s", `0:"a"`)

	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 30})
	if _, err := r.append("s", esdb.Revision(0), event("b")); err != nil {
		t.Fatal(err)
	}
	s.want(`1:"b"`)
	if got := figures(t, registry); got["g4fagent_esnode_appends_total full"] != 1 || got["g4fagent_esnode_refusing"] != 0 {
		t.Errorf("the metrics are %v", got)
	}
}

// statusCode is the gRPC status that the client wraps.
func statusCode(err error) codes.Code {
	for ; err != nil; err = errors.Unwrap(err) {
		if s, ok := status.FromError(err); ok {
			return s.Code()
		}
	}
	return codes.OK
}
