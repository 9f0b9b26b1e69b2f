package esnode_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	pb "github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/g4fagent/g4fagent/internal/esnode"
)

// groupSettings are the client's defaults, with checkpoints at once.
func groupSettings(edits ...func(*esdb.PersistentSubscriptionSettings)) *esdb.PersistentSubscriptionSettings {
	s := esdb.SubscriptionSettingsDefault()
	s.CheckpointLowerBound, s.CheckpointUpperBound, s.CheckpointAfter = 1, 1, 0
	for _, edit := range edits {
		edit(&s)
	}
	return &s
}

func (r *rig) createGroup(stream, group string, edits ...func(*esdb.PersistentSubscriptionSettings)) {
	r.t.Helper()
	err := r.client.CreatePersistentSubscription(r.ctx, stream, group, esdb.PersistentStreamSubscriptionOptions{
		Settings: groupSettings(edits...), StartFrom: esdb.Start{},
	})
	if err != nil {
		r.t.Fatalf("create %s of %s: %v", group, stream, err)
	}
}

// consumer is a connected consumer of a group.
type consumer struct {
	t   testing.TB
	sub *esdb.PersistentSubscription
}

func (r *rig) consume(stream, group string, buffer uint32) *consumer {
	r.t.Helper()
	o := esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: buffer}
	var sub *esdb.PersistentSubscription
	var err error
	if stream == "$all" {
		sub, err = r.client.SubscribeToPersistentSubscriptionToAll(r.ctx, group, o)
	} else {
		sub, err = r.client.SubscribeToPersistentSubscription(r.ctx, stream, group, o)
	}
	if err != nil {
		r.t.Fatalf("connect to %s of %s: %v", group, stream, err)
	}
	r.t.Cleanup(func() { _ = sub.Close() })
	return &consumer{r.t, sub}
}

func (c *consumer) next() *esdb.EventAppeared {
	c.t.Helper()
	e := c.sub.Recv()
	if e.EventAppeared == nil {
		c.t.Fatalf("dropped: %v", e.SubscriptionDropped.Error)
	}
	return e.EventAppeared
}

// want expects events as show gives them, and acknowledges each if asked to.
func (c *consumer) want(ack bool, want ...string) (got []*esdb.ResolvedEvent) {
	c.t.Helper()
	for _, w := range want {
		e := c.next()
		if text := show([]*esdb.ResolvedEvent{e.Event})[0]; text != w {
			c.t.Fatalf("got %q, want %q", text, w)
		}
		got = append(got, e.Event)
		if ack {
			if err := c.sub.Ack(e.Event); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	return got
}

func (c *consumer) nack(action esdb.NackAction, events ...*esdb.ResolvedEvent) {
	c.t.Helper()
	if err := c.sub.Nack("why not", action, events...); err != nil {
		c.t.Fatal(err)
	}
}

func (c *consumer) wantDropped(code codes.Code) {
	c.t.Helper()
	if e := c.sub.Recv(); e.SubscriptionDropped == nil || status.Code(e.SubscriptionDropped.Error) != code {
		c.t.Fatalf("got %+v, want its end with %v", e, code)
	}
}

func (r *rig) info(stream, group string) *esdb.PersistentSubscriptionInfo {
	r.t.Helper()
	i, err := r.client.GetPersistentSubscriptionInfo(r.ctx, stream, group, esdb.GetPersistentSubscriptionOptions{})
	if err != nil {
		r.t.Fatalf("the state of %s of %s: %v", group, stream, err)
	}
	return i
}

// eventually waits for what a consumer's word brings about, of which nobody tells
// it.
func (r *rig) eventually(what string, holds func() bool) {
	r.t.Helper()
	for !holds() {
		if r.ctx.Err() != nil {
			r.t.Fatalf("it does not happen: %s", what)
		}
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()

	t.Run("of the whole log give it without their own state", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		if err := r.client.CreatePersistentSubscriptionToAll(r.ctx, "g", esdb.PersistentAllSubscriptionOptions{
			Settings: groupSettings(), StartFrom: esdb.End{},
		}); err != nil {
			t.Fatal(err)
		}
		c := r.consume("$all", "g", 10)
		if e := c.next(); e.Event.Event.StreamID != "$persistentSubscriptionConfig" {
			t.Fatalf("got %+v", e.Event.Event)
		} else if err := c.sub.Ack(e.Event); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			r.mustAppend("s", "x")
			c.want(true, fmt.Sprintf(`%d:"x"`, i))
		}
	})

	t.Run("drop a consumer that wants to stop, and give others what it had", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a", "b")
		r.createGroup("s", "g")
		c := r.consume("s", "g", 10)
		c.nack(esdb.NackActionStop, c.want(false, `0:"a"`, `1:"b"`)[0])
		c.wantDropped(codes.Canceled)
		second := r.consume("s", "g", 10)
		var got []string
		for range 2 {
			got = append(got, show([]*esdb.ResolvedEvent{second.next().Event})[0])
		}
		if slices.Sort(got); !slices.Equal(got, []string{`0:"a"`, `1:"b"`}) {
			t.Errorf("got %v", got)
		}
	})

	t.Run("refuse settings that make no sense, and say why", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		for name, edit := range map[string]func(*esdb.PersistentSubscriptionSettings){
			"buffers":     func(s *esdb.PersistentSubscriptionSettings) { s.ReadBatchSize = s.HistoryBufferSize },
			"retries":     func(s *esdb.PersistentSubscriptionSettings) { s.MaxRetryCount = -1 },
			"checkpoints": func(s *esdb.PersistentSubscriptionSettings) { s.CheckpointUpperBound = 0 },
		} {
			err := r.client.CreatePersistentSubscription(r.ctx, "s", name, esdb.PersistentStreamSubscriptionOptions{Settings: groupSettings(edit)})
			wantStatus(t, name, err, codes.Internal)
		}
		call := pb.NewPersistentSubscriptionsClient(dial(t, r.node.Addr()))
		var trailers metadata.MD
		_, err := call.Create(r.ctx, &pb.CreateReq{Options: &pb.CreateReq_Options{
			StreamOption: &pb.CreateReq_Options_All{All: &pb.CreateReq_AllOptions{
				AllOption: &pb.CreateReq_AllOptions_Start{Start: &shared.Empty{}},
			}}, GroupName: "g",
			Settings: &pb.CreateReq_Settings{ConsumerStrategy: "None"},
		}}, grpc.Trailer(&trailers))
		wantRefusal(t, "strategy", err, codes.Internal, trailers, "exception", "persistent-subscription-failed",
			"stream-name", "$all", "group-name", "g", "reason", `consumer strategy "None" does not exist`)
		_, err = call.Delete(r.ctx, &pb.DeleteReq{Options: &pb.DeleteReq_Options{
			StreamOption: &pb.DeleteReq_Options_All{All: &shared.Empty{}}, GroupName: "g",
		}}, grpc.Trailer(&trailers))
		wantRefusal(t, "absent", err, codes.NotFound, trailers, "exception", "persistent-subscription-does-not-exist", "group-name", "g")
		_, err = call.Delete(r.ctx, &pb.DeleteReq{})
		wantRefusal(t, "malformed", err, codes.InvalidArgument, nil)
	})
}

func TestGroupState(t *testing.T) {
	t.Parallel()

	t.Run("outlives the node", func(t *testing.T) {
		t.Parallel()
		fs := vfs.NewMem()
		keep := func(o *esnode.Options) { o.FS = fs }
		r := newRig(t, keep)
		r.mustAppend("s", "a", "b", "c", "d")
		r.createGroup("s", "g", func(s *esdb.PersistentSubscriptionSettings) { s.MaxRetryCount = 7 })
		c := r.consume("s", "g", 10)
		got := c.want(false, `0:"a"`, `1:"b"`, `2:"c"`, `3:"d"`)
		c.nack(esdb.NackActionPark, got[1])
		if err := c.sub.Ack(got[0], got[3]); err != nil { // but not the one between
			t.Fatal(err)
		}
		r.eventually("the first two are settled", func() bool {
			last := r.info("s", "g").Stats.LastCheckpointedEventRevision
			return last != nil && *last == 1
		})
		if err := r.node.Close(r.ctx); err != nil {
			t.Fatal(err)
		}
		c.wantDropped(codes.Unavailable)

		r = newRig(t, keep)
		i := r.info("s", "g")
		if i.Settings.MaxRetryCount != 7 || i.Stats.ParkedMessagesCount != 1 || *i.Stats.LastCheckpointedEventRevision != 1 {
			t.Errorf("it is %+v, %+v", i.Settings, i.Stats)
		}
		c = r.consume("s", "g", 10)
		c.want(true, `2:"c"`, `3:"d"`)
		if err := r.client.ReplayParkedMessages(r.ctx, "s", "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
			t.Fatal(err)
		}
		if e := c.next(); string(e.Event.Event.Data) != `"b"` {
			t.Errorf("got %+v", e.Event)
		}
	})

	t.Run("is read anew when the subsystem is restarted", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a", "b")
		r.createGroup("s", "g")
		c := r.consume("s", "g", 1)
		c.want(true, `0:"a"`)
		r.eventually("it is settled", func() bool { return r.info("s", "g").Stats.LastCheckpointedEventRevision != nil })
		if err := r.client.RestartPersistentSubscriptionSubsystem(r.ctx, esdb.RestartPersistentSubscriptionSubsystemOptions{}); err != nil {
			t.Fatal(err)
		}
		c.want(false, `1:"b"`)
		c.wantDropped(codes.Canceled)
		r.consume("s", "g", 1).want(true, `1:"b"`)
	})

	t.Run("moves only when enough is settled, or it is time", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a", "b", "c", "d", "e")
		r.createGroup("s", "g", func(s *esdb.PersistentSubscriptionSettings) {
			s.CheckpointLowerBound, s.CheckpointUpperBound, s.CheckpointAfter = 2, 4, int32(time.Hour.Milliseconds())
		})
		c := r.consume("s", "g", 10)
		c.want(true, `0:"a"`)
		if last := r.info("s", "g").Stats.LastCheckpointedEventRevision; last != nil {
			t.Errorf("one event moved it to %d", *last)
		}
		c.want(true, `1:"b"`) // the first checkpoint has no other before it
		r.eventually("two events move it", func() bool {
			last := r.info("s", "g").Stats.LastCheckpointedEventRevision
			return last != nil && *last == 1
		})
		c.want(true, `2:"c"`, `3:"d"`)
		if last := r.info("s", "g").Stats.LastCheckpointedEventRevision; *last != 1 {
			t.Errorf("two events within the hour moved it to %d", *last)
		}
	})
}

func TestGroupRefusesAHugeMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, connected := range map[string]bool{"as the first": false, "of a consumer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call, err := pb.NewPersistentSubscriptionsClient(dial(t, r.node.Addr())).Read(r.ctx)
			if err != nil {
				t.Fatal(err)
			}
			if connected {
				r.createGroup("s", "g")
				err = call.Send(&pb.ReadReq{Content: &pb.ReadReq_Options_{Options: &pb.ReadReq_Options{
					StreamOption: &pb.ReadReq_Options_StreamIdentifier{StreamIdentifier: named("s")}, GroupName: "g", BufferSize: 1,
					UuidOption: &pb.ReadReq_Options_UUIDOption{Content: &pb.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}}},
				}}})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := call.Recv(); err != nil {
					t.Fatal(err)
				}
			}
			ids := make([]*shared.UUID, 1<<20)
			for i := range ids {
				ids[i] = &shared.UUID{}
			}
			if err := call.Send(&pb.ReadReq{Content: &pb.ReadReq_Ack_{Ack: &pb.ReadReq_Ack{Ids: ids}}}); err != nil {
				t.Fatal(err)
			}
			if _, err := call.Recv(); status.Code(err) != codes.InvalidArgument {
				t.Errorf("got %v", err)
			}
		})
	}
}
