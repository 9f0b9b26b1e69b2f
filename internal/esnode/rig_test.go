package esnode_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
)

const bound = 20 * time.Second

// everything is a count that no test reaches.
const everything = math.MaxUint64

// rig is a node with the official client, and with the generated stubs for what
// that client hides.
type rig struct {
	t      testing.TB
	ctx    context.Context
	node   *esnodetest.Node
	client *esdb.Client
}

func newRig(t testing.TB, configure ...func(*esnode.Options)) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	t.Cleanup(cancel)
	node := esnodetest.Start(t, configure...)
	return &rig{t: t, ctx: ctx, node: node, client: node.Client(t)}
}

// stubs are the protocol itself.
func (r *rig) stubs() streams.StreamsClient {
	r.t.Helper()
	return streams.NewStreamsClient(dial(r.t, r.node.Addr()))
}

func dial(t testing.TB, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func event(text string) esdb.EventData {
	return esdb.EventData{
		EventID: uuid.New(), EventType: "test", ContentType: esdb.ContentTypeJson,
		Data: fmt.Appendf(nil, "%q", text), Metadata: []byte(`{"meta":1}`),
	}
}

func eventsNamed(texts ...string) []esdb.EventData {
	var out []esdb.EventData
	for _, text := range texts {
		out = append(out, event(text))
	}
	return out
}

func (r *rig) append(stream string, expected esdb.ExpectedRevision, events ...esdb.EventData) (*esdb.WriteResult, error) {
	return r.client.AppendToStream(r.ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, events...)
}

func (r *rig) mustAppend(stream string, texts ...string) *esdb.WriteResult {
	r.t.Helper()
	result, err := r.append(stream, esdb.Any{}, eventsNamed(texts...)...)
	if err != nil {
		r.t.Fatalf("append to %s: %v", stream, err)
	}
	return result
}

// collect reads to the end.
func collect(stream *esdb.ReadStream, err error) ([]*esdb.ResolvedEvent, error) {
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	var out []*esdb.ResolvedEvent
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, e)
	}
}

func (r *rig) readStream(stream string, o esdb.ReadStreamOptions, count uint64) ([]*esdb.ResolvedEvent, error) {
	return collect(r.client.ReadStream(r.ctx, stream, o, count))
}

func (r *rig) readAll(o esdb.ReadAllOptions, count uint64) ([]*esdb.ResolvedEvent, error) {
	return collect(r.client.ReadAll(r.ctx, o, count))
}

func (r *rig) wantStream(stream string, want ...string) {
	r.t.Helper()
	events, err := r.readStream(stream, esdb.ReadStreamOptions{From: esdb.Start{}}, everything)
	if err != nil {
		r.t.Fatalf("read %s: %v", stream, err)
	}
	if got := show(events); !slices.Equal(got, want) {
		r.t.Fatalf("%s reads %v, want %v", stream, got, want)
	}
}

// show gives events as "revision:data".
func show(events []*esdb.ResolvedEvent) []string {
	out := []string{}
	for _, e := range events {
		o := e.OriginalEvent()
		out = append(out, fmt.Sprintf("%d:%s", o.EventNumber, o.Data))
	}
	return out
}

func wantCode(t testing.TB, what string, err error, want esdb.ErrorCode) {
	t.Helper()
	e, ok := errors.AsType[*esdb.Error](err)
	if !ok || e.Code() != want {
		t.Errorf("%s: got %v, want code %d", what, err, want)
	}
}

// subscribed reads a subscription's messages.
type subscribed struct {
	t   testing.TB
	sub *esdb.Subscription
}

func (r *rig) subscribeAll(o esdb.SubscribeToAllOptions) *subscribed {
	r.t.Helper()
	sub, err := r.client.SubscribeToAll(r.ctx, o)
	return r.subscribed(sub, err)
}

func (r *rig) subscribeStream(stream string, o esdb.SubscribeToStreamOptions) *subscribed {
	r.t.Helper()
	sub, err := r.client.SubscribeToStream(r.ctx, stream, o)
	return r.subscribed(sub, err)
}

func (r *rig) subscribed(sub *esdb.Subscription, err error) *subscribed {
	r.t.Helper()
	if err != nil {
		r.t.Fatalf("subscribe: %v", err)
	}
	r.t.Cleanup(func() { _ = sub.Close() })
	return &subscribed{r.t, sub}
}

func (s *subscribed) next() string {
	e := s.sub.Recv()
	switch {
	case e.SubscriptionDropped != nil:
		return "dropped " + e.SubscriptionDropped.Error.Error()
	case e.CaughtUp != nil:
		return "caught up"
	case e.CheckPointReached != nil:
		return fmt.Sprintf("checkpoint %d/%d", e.CheckPointReached.Commit, e.CheckPointReached.Prepare)
	case e.EventAppeared != nil:
		return show([]*esdb.ResolvedEvent{e.EventAppeared})[0]
	default:
		return "something else"
	}
}

func (s *subscribed) want(want ...string) {
	s.t.Helper()
	for i, w := range want {
		if got := s.next(); got != w {
			s.t.Fatalf("message %d is %q, want %q", i, got, w)
		}
	}
}

func named(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}
