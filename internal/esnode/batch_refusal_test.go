package esnode_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestBatchAppendRefuses(t *testing.T) {
	t.Parallel()

	t.Run("what is malformed, and goes on", func(t *testing.T) {
		t.Parallel()
		b := newRig(t).batch()
		type req = streams.BatchAppendReq
		event := func(edit func(*streams.BatchAppendReq_ProposedMessage)) func(*req) {
			return func(m *req) { edit(m.ProposedMessages[0]) }
		}
		for name, edit := range map[string]func(*req){
			"no correlation id":        func(m *req) { m.CorrelationId = nil },
			"a correlation id of none": func(m *req) { m.CorrelationId.Value = &shared.UUID_String_{String_: "x"} },
			"no stream":                func(m *req) { m.Options.StreamIdentifier = nil },
			"an empty name":            func(m *req) { m.Options.StreamIdentifier.StreamName = nil },
			"the name $$":              func(m *req) { m.Options.StreamIdentifier.StreamName = []byte("$$") },
			"a name that is no UTF-8":  func(m *req) { m.Options.StreamIdentifier.StreamName = []byte{0xff} },
			"no expectation":           func(m *req) { m.Options.ExpectedStreamPosition = nil },
			"a revision out of range":  expectingPosition(1 << 63),
			"no event id":              event(func(e *streams.BatchAppendReq_ProposedMessage) { e.Id = nil }),
			"a nil event id":           event(func(e *streams.BatchAppendReq_ProposedMessage) { e.Id = textID(uuid.Nil) }),
			"no type":                  event(func(e *streams.BatchAppendReq_ProposedMessage) { delete(e.Metadata, "type") }),
			"an empty type":            event(func(e *streams.BatchAppendReq_ProposedMessage) { e.Metadata["type"] = "" }),
			"no content type":          event(func(e *streams.BatchAppendReq_ProposedMessage) { delete(e.Metadata, "content-type") }),
			"a deadline of no time": func(m *req) {
				m.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline_21_10_0{Deadline_21_10_0: &timestamppb.Timestamp{Nanos: -1}}
			},
			"a deadline of no duration": func(m *req) {
				m.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: &durationpb.Duration{Seconds: 1, Nanos: -1}}
			},
		} {
			m := batchOf("s", edit)
			b.send(m)
			if detail, ok := b.wantFault(m, codes.InvalidArgument, "BadRequest").(*shared.BadRequest); !ok || detail.GetMessage() == "" {
				t.Errorf("%s: got %v", name, detail)
			}
		}
		m := batchOf("s", expectingNoStream)
		b.send(m)
		b.wantSuccess(m, 0)
	})

	t.Run("what is late", func(t *testing.T) {
		t.Parallel()
		b := newRig(t).batch()
		at := func(after time.Duration) func(*streams.BatchAppendReq) {
			return func(m *streams.BatchAppendReq) {
				m.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline_21_10_0{Deadline_21_10_0: timestamppb.New(time.Now().Add(after))}
			}
		}
		within := func(d time.Duration) func(*streams.BatchAppendReq) {
			return func(m *streams.BatchAppendReq) {
				m.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(d)}
			}
		}
		for _, m := range []*streams.BatchAppendReq{
			batchOf("s", at(-time.Hour)), batchOf("s", within(0)), batchOf("s", within(-time.Second)),
			batchOf("s", at(20*time.Millisecond), unfinished), batchOf("s", within(20*time.Millisecond), unfinished),
		} {
			b.send(m)
			if _, ok := b.wantFault(m, codes.DeadlineExceeded, "Timeout").(*shared.Timeout); !ok {
				t.Error("the detail is another")
			}
		}
		for i, m := range []*streams.BatchAppendReq{batchOf("s", at(time.Hour)), batchOf("s", within(time.Hour))} {
			b.send(m)
			b.wantSuccess(m, uint64(i))
		}
	})

	t.Run("more than it can hold", func(t *testing.T) {
		t.Parallel()
		b := newRig(t).batch()
		large := strings.Repeat("x", 1_000_000)
		var open []*streams.BatchAppendReq
		for range 64 << 20 / 1_000_000 {
			m := batchOf("s", unfinished, func(m *streams.BatchAppendReq) { m.ProposedMessages[0].Data = []byte(large) })
			b.send(m)
			open = append(open, m)
		}
		m := batchOf("s", func(m *streams.BatchAppendReq) { m.ProposedMessages[0].Data = []byte(large) })
		b.send(m)
		if _, ok := b.wantFault(m, codes.Unavailable, "Server Is Busy").(*emptypb.Empty); !ok {
			t.Error("the detail is another")
		}
		b.send(more(open[0], true, "{}"), m)
		b.wantSuccess(open[0], 1)
		b.wantSuccess(m, 2)
	})

	t.Run("a message that would take far more memory than it has bytes", func(t *testing.T) {
		t.Parallel()
		b := newRig(t).batch()
		b.send(&streams.BatchAppendReq{ProposedMessages: make([]*streams.BatchAppendReq_ProposedMessage, 100_000)})
		if _, err := b.call.Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("got %v", err)
		}
	})

	t.Run("a caller without credentials, at once", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, withCredentials)
		if _, err := r.batch().call.Recv(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("got %v", err)
		}
		r.ctx = metadata.AppendToOutgoingContext(r.ctx, "authorization", basic(username, password))
		b, m := r.batch(), batchOf("s")
		b.send(m)
		b.wantSuccess(m, 0)
	})
}

func TestBatchAppendEnds(t *testing.T) {
	t.Parallel()

	t.Run("with the node, as unavailable", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		b, m := r.batch(), batchOf("s")
		b.send(m, batchOf("s", unfinished))
		b.wantSuccess(m, 0)
		if err := r.node.Close(r.ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := b.call.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
	})

	t.Run("when its client goes, and the node can be closed", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		ctx, cancel := context.WithCancel(r.ctx)
		r.ctx = ctx
		b := r.batch()
		for range 100 {
			b.send(batchOf("s"))
		}
		b.next()
		cancel()
		if err := r.node.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
