package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"

	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// callsPerClient keeps below the 100 calls that a connection takes.
const callsPerClient = 64

// startNode serves a folder on a socket in it.
func startNode(ctx context.Context, dir string) (*esnode.Node, error) {
	return esnode.Start(ctx, esnode.Options{
		Dir: filepath.Join(dir, "log"), Listen: "unix:" + filepath.Join(dir, "s"), Floor: storage.NoFloor,
	})
}

// clients are so many official clients of an address.
type clients []*esdb.Client

func dial(addr string, calls int) (clients, error) {
	var list clients
	for range (calls + callsPerClient - 1) / callsPerClient {
		config, err := esdb.ParseConnectionString("esdb://localhost:1?tls=false")
		if err != nil {
			return nil, fmt.Errorf("configure a client: %w", err)
		}
		config.Address = strings.TrimPrefix(addr, "esdb://")
		config.Logger = esdb.NoopLogging()
		client, err := esdb.NewClient(config)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make a client: %w", err), list.close())
		}
		list = append(list, client)
	}
	return list, nil
}

func (c clients) of(i int) *esdb.Client { return c[i/callsPerClient] }

func (c clients) close() error {
	var errs []error
	for _, client := range c {
		errs = append(errs, client.Close())
	}
	return errors.Join(errs...)
}

// nothing answers as an event store does, and does nothing: the limit of the wire.
// Reads get the same event again and again.
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

func (nothing) Read(r *streams.ReadReq, call streams.Streams_ReadServer) error {
	id := &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{MostSignificantBits: 1}}}
	m := &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
		Event: &streams.ReadResp_ReadEvent_RecordedEvent{
			Id: id, StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("session-" + uuid.NewString())},
			Metadata: map[string]string{"type": eventType, "content-type": "application/json", "created": "17000000000000000"},
			Data:     payload(1),
		},
		Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: 1},
	}}}
	for range r.GetOptions().GetCount() {
		if err := call.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// serveNothing serves nothing on a socket until the returned function is called.
func serveNothing(ctx context.Context, path string) (stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	server := grpc.NewServer(grpc.MaxConcurrentStreams(100))
	streams.RegisterStreamsServer(server, nothing{})
	go func() { _ = server.Serve(listener) }() // ends with Stop
	return server.Stop, nil
}

func appendBy(client *esdb.Client, stream string) operation {
	count, seed := uint64(0), rand.Uint64()
	return func(ctx context.Context) (int, error) {
		var expected esdb.ExpectedRevision = esdb.NoStream{}
		if count > 0 {
			expected = esdb.Revision(count - 1)
		}
		count++
		_, err := client.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, esdb.EventData{
			EventID: nextID(seed, count), EventType: eventType, ContentType: esdb.ContentTypeJson, Data: ready(count),
		})
		return 1, err
	}
}

func measureClient(ctx context.Context, b *bench) (err error) {
	node, err := startNode(ctx, b.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close(context.WithoutCancel(ctx))) }()
	stop, err := serveNothing(ctx, b.folder("n"))
	if err != nil {
		return err
	}
	defer stop()
	raw, err := openRaw(b.folder("raw-client"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, raw.db.Close()) }()
	for _, c := range concurrencies {
		ours, err := dial(node.Addr(), c)
		if err != nil {
			return err
		}
		wire, err := dial("unix:"+b.folder("n"), c)
		if err != nil {
			return err
		}
		by := func(list clients) (ops []operation) {
			for i := range c {
				ops = append(ops, appendBy(list.of(i), "session-"+uuid.NewString()))
			}
			return ops
		}
		samples, err := b.inTurns(ctx, by(ours), by(wire), workers(c, func(s string) operation { return raw.write(s, 1) }))
		if err := errors.Join(err, ours.close(), wire.close()); err != nil {
			return err
		}
		limit, lower := "gRPC that does nothing", &samples[1]
		if samples[2].rate() < lower.rate() {
			limit, lower = "raw Pebble", &samples[2]
		}
		b.report.share("official client: durable append", c, &samples[0], limit, lower, 0.7)
		b.report.together("official client: CPU of an append", c, &samples[0], "both limits, one after the other", &samples[1], &samples[2])
	}
	return nil
}

// readAllBy reads up to count events of the log from its start.
func readAllBy(client *esdb.Client, count uint64) operation {
	return func(ctx context.Context) (n int, err error) {
		r, err := client.ReadAll(ctx, esdb.ReadAllOptions{From: esdb.Start{}}, min(count, math.MaxInt64))
		if err != nil {
			return 0, err
		}
		defer r.Close()
		for ; uint64(n) < count; n++ {
			if _, err := r.Recv(); err != nil {
				return n, err
			}
		}
		return n, nil
	}
}
