package esnode_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/pprof"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// batchCall is one call of BatchAppend, which the official Go client never makes.
type batchCall struct {
	t    testing.TB
	call streams.Streams_BatchAppendClient
}

func (r *rig) batch() *batchCall {
	r.t.Helper()
	call, err := r.stubs().BatchAppend(r.ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	return &batchCall{r.t, call}
}

func (b *batchCall) send(messages ...*streams.BatchAppendReq) {
	b.t.Helper()
	for _, m := range messages {
		if err := b.call.Send(m); err != nil {
			b.t.Fatalf("send: %v", err)
		}
	}
}

func (b *batchCall) next() *streams.BatchAppendResp {
	b.t.Helper()
	reply, err := b.call.Recv()
	if err != nil {
		b.t.Fatalf("receive: %v", err)
	}
	return reply
}

// wantSuccess expects the next answer to be of an append at a revision.
func (b *batchCall) wantSuccess(of *streams.BatchAppendReq, revision uint64) *streams.BatchAppendResp {
	b.t.Helper()
	reply := b.next()
	s := reply.GetSuccess()
	if s == nil || !proto.Equal(reply.GetCorrelationId(), of.GetCorrelationId()) || s.GetCurrentRevision() != revision ||
		s.GetPosition().GetCommitPosition() == 0 || s.GetPosition().GetCommitPosition() != s.GetPosition().GetPreparePosition() {
		b.t.Fatalf("got %v, want revision %d of %v", reply, revision, of.GetCorrelationId())
	}
	return reply
}

// wantFault expects the next answer to be a fault of an append, and gives what
// it says of it.
func (b *batchCall) wantFault(of *streams.BatchAppendReq, code codes.Code, text string) proto.Message {
	b.t.Helper()
	reply := b.next()
	e := reply.GetError()
	if e.GetCode() != int32(code) || e.GetMessage() != text || len(e.GetDetails()) != 1 ||
		!proto.Equal(reply.GetCorrelationId(), of.GetCorrelationId()) {
		b.t.Fatalf("got %v, want %v %s of %v", reply, code, text, of.GetCorrelationId())
	}
	detail, err := e.GetDetails()[0].UnmarshalNew()
	if err != nil {
		b.t.Fatalf("the detail of %v: %v", reply, err)
	}
	return detail
}

func textID(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}
}

// batchOf is an append to a stream in one message, to be edited into another.
func batchOf(stream string, edits ...func(*streams.BatchAppendReq)) *streams.BatchAppendReq {
	m := &streams.BatchAppendReq{
		CorrelationId: textID(uuid.New()),
		Options: &streams.BatchAppendReq_Options{
			StreamIdentifier:       named(stream),
			ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}},
		},
		ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{batchEvent("{}")},
		IsFinal:          true,
	}
	for _, edit := range edits {
		edit(m)
	}
	return m
}

func batchEvent(data string) *streams.BatchAppendReq_ProposedMessage {
	return &streams.BatchAppendReq_ProposedMessage{
		Id: textID(uuid.New()), Metadata: map[string]string{"type": "test", "content-type": "application/json"}, Data: []byte(data),
	}
}

func expectingPosition(revision uint64) func(*streams.BatchAppendReq) {
	return func(m *streams.BatchAppendReq) {
		m.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: revision}
	}
}

func expectingNoStream(m *streams.BatchAppendReq) {
	m.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
}

func expectingStream(m *streams.BatchAppendReq) {
	m.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamExists{StreamExists: &emptypb.Empty{}}
}

func unfinished(m *streams.BatchAppendReq) { m.IsFinal = false }

// more is a further message of an append.
func more(of *streams.BatchAppendReq, final bool, data string) *streams.BatchAppendReq {
	return &streams.BatchAppendReq{
		CorrelationId: of.GetCorrelationId(), IsFinal: final,
		ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{batchEvent(data)},
	}
}

func TestBatchAppend(t *testing.T) {
	t.Parallel()

	t.Run("takes every kind of expectation, and repeats it", func(t *testing.T) {
		t.Parallel()
		b := newRig(t).batch()
		for i, edit := range []func(*streams.BatchAppendReq){expectingNoStream, expectingPosition(0), expectingStream, func(*streams.BatchAppendReq) {}} {
			m := batchOf("s", edit)
			b.send(m)
			reply := b.wantSuccess(m, uint64(i))
			if string(reply.GetStreamIdentifier().GetStreamName()) != "s" {
				t.Errorf("the answer names %v", reply.GetStreamIdentifier())
			}
			if got, want := fmt.Sprintf("%T", reply.GetExpectedStreamPosition()), fmt.Sprintf("%T", m.GetOptions().GetExpectedStreamPosition()); strings.TrimPrefix(got, "*streams.BatchAppendResp_") != strings.TrimPrefix(want, "*streams.BatchAppendReq_Options_") {
				t.Errorf("the answer repeats %s for %s", got, want)
			}
		}
	})

	t.Run("decides in the order in which appends are complete", func(t *testing.T) {
		t.Parallel()
		const count = 300
		r := newRig(t)
		b := r.batch()
		var want []string
		for i := range count {
			b.send(batchOf("s", func(m *streams.BatchAppendReq) { m.ProposedMessages[0].Data = fmt.Appendf(nil, "%d", i) }))
			want = append(want, fmt.Sprintf("%d:%d", i, i))
		}
		for range count {
			if reply := b.next(); reply.GetSuccess() == nil {
				t.Fatalf("got %v", reply)
			}
		}
		r.wantStream("s", want...)
	})

	t.Run("puts an append's messages together, whatever comes between", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		b := r.batch()
		one, two := batchOf("one", unfinished, expectingNoStream), batchOf("two", unfinished)
		b.send(one, two, more(one, false, `"b"`), more(two, true, `"b"`))
		b.wantSuccess(two, 1)
		b.send(more(one, true, `"c"`))
		b.wantSuccess(one, 2)
		r.wantStream("one", `0:{}`, `1:"b"`, `2:"c"`)
	})

	t.Run("writes nothing of an append that is not complete", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		b := r.batch()
		m := batchOf("s")
		b.send(batchOf("s", unfinished), m)
		b.wantSuccess(m, 0)
		if err := b.call.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.call.Recv(); !errors.Is(err, io.EOF) {
			t.Fatalf("got %v", err)
		}
		r.wantStream("s", `0:{}`)
	})

	t.Run("gives a repetition the first answer", func(t *testing.T) {
		t.Parallel()
		b := newRig(t).batch()
		m := batchOf("s", expectingNoStream)
		b.send(m)
		first := b.wantSuccess(m, 0)
		other := batchOf("s")
		b.send(other)
		b.wantSuccess(other, 1)
		b.send(m)
		if again := b.wantSuccess(m, 0); !proto.Equal(first, again) {
			t.Errorf("got %v, then %v", first, again)
		}
	})

	t.Run("of nothing succeeds without a position", func(t *testing.T) {
		t.Parallel()
		b := newRig(t).batch()
		b.send(batchOf("s", func(m *streams.BatchAppendReq) { m.ProposedMessages = nil }))
		if s := b.next().GetSuccess(); s.GetNoStream() == nil || s.GetNoPosition() == nil {
			t.Errorf("got %v", s)
		}
	})

	t.Run("tells of a conflict", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a", "b")
		b := r.batch()
		type wrong = shared.WrongExpectedVersion
		current := &shared.WrongExpectedVersion_CurrentStreamRevision{CurrentStreamRevision: 1}
		for _, c := range []struct {
			message *streams.BatchAppendReq
			want    *wrong
		}{
			{batchOf("s", expectingNoStream), &wrong{
				CurrentStreamRevisionOption:  current,
				ExpectedStreamPositionOption: &shared.WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &emptypb.Empty{}},
			}},
			{batchOf("s", expectingPosition(7)), &wrong{
				CurrentStreamRevisionOption:  current,
				ExpectedStreamPositionOption: &shared.WrongExpectedVersion_ExpectedStreamPosition{ExpectedStreamPosition: 7},
			}},
			{batchOf("new", expectingStream), &wrong{
				CurrentStreamRevisionOption:  &shared.WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &emptypb.Empty{}},
				ExpectedStreamPositionOption: &shared.WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &emptypb.Empty{}},
			}},
		} {
			b.send(c.message)
			if got := b.wantFault(c.message, codes.AlreadyExists, "WrongExpectedVersion"); !proto.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		}
	})

	t.Run("names a stream that is closed", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		if _, err := r.client.TombstoneStream(r.ctx, "s", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
			t.Fatal(err)
		}
		b, m := r.batch(), batchOf("s")
		b.send(m)
		if got := b.wantFault(m, codes.NotFound, "StreamDeleted"); !proto.Equal(got, &shared.StreamDeleted{StreamIdentifier: named("s")}) {
			t.Errorf("got %v", got)
		}
	})

	t.Run("refuses what is too large as soon as it is", func(t *testing.T) {
		t.Parallel()
		b := newRig(t).batch()
		m, half := batchOf("s", unfinished), strings.Repeat("x", 600_000)
		b.send(m, more(m, false, half), more(m, false, half))
		if got := b.wantFault(m, codes.InvalidArgument, "MaximumAppendSizeExceeded"); !proto.Equal(got, &shared.MaximumAppendSizeExceeded{MaxAppendSize: 1 << 20}) {
			t.Errorf("got %v", got)
		}
		after := batchOf("s", expectingNoStream)
		b.send(more(m, true, "{}"), after) // the rest is of nothing any more
		b.wantSuccess(after, 0)
	})
}

func TestBatchAppendEndsWithItsClient(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 50 {
		ctx, cancel := context.WithCancel(r.ctx)
		call, err := r.stubs().BatchAppend(ctx)
		if err != nil {
			t.Fatal(err)
		}
		b := &batchCall{t, call}
		b.send(batchOf("s"))
		b.next()
		cancel()
	}
	// Other tests have calls of their own, but few at a time.
	eventually(t, "the calls to end", func() bool {
		var stacks bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&stacks, 2) // a buffer takes all
		return strings.Count(stacks.String(), "(*batch).serve(") < 10
	})
}
