package esnode_test

import (
	"context"
	"errors"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/g4fagent/g4fagent/internal/esnode"
)

func wantStatus(t testing.TB, what string, err error, want codes.Code) {
	t.Helper()
	e, ok := errors.AsType[*esdb.Error](err)
	if !ok || status.Code(e.Err()) != want {
		t.Errorf("%q: got %v, want %v", what, err, want)
	}
}

func options(stream string) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{
		StreamIdentifier:       named(stream),
		ExpectedStreamRevision: &streams.AppendReq_Options_Any{Any: &shared.Empty{}},
	}}}
}

func proposed(id uuid.UUID) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
		Id:       &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}},
		Metadata: map[string]string{"type": "test", "content-type": "application/json"},
		Data:     []byte("{}"),
	}}}
}

// send makes one append of raw messages.
func send(ctx context.Context, t *testing.T, stubs streams.StreamsClient, messages ...*streams.AppendReq) (*streams.AppendResp, metadata.MD, error) {
	t.Helper()
	var trailers metadata.MD
	call, err := stubs.Append(ctx, grpc.Trailer(&trailers))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if err := call.Send(m); err != nil {
			t.Fatalf("send: %v (the request must be read to its end)", err)
		}
	}
	reply, err := call.CloseAndRecv()
	return reply, trailers, err
}

func TestRawAppend(t *testing.T) {
	t.Parallel()

	t.Run("refuses what is malformed", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		stubs := r.stubs()
		edited := func(edit func(*streams.AppendReq_ProposedMessage)) *streams.AppendReq {
			m := proposed(uuid.New())
			edit(m.GetProposedMessage())
			return m
		}
		expecting := func(revision uint64) *streams.AppendReq {
			o := options("s")
			o.GetOptions().ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: revision}
			return o
		}
		noExpectation := options("s")
		noExpectation.GetOptions().ExpectedStreamRevision = nil
		noStream := options("s")
		noStream.GetOptions().StreamIdentifier = nil
		for name, messages := range map[string][]*streams.AppendReq{
			"nothing at all":             nil,
			"an empty message":           {options("s"), {}},
			"an event before options":    {proposed(uuid.New()), options("s")},
			"options twice":              {options("s"), options("s")},
			"no stream":                  {noStream, proposed(uuid.New())},
			"no expectation":             {noExpectation, proposed(uuid.New())},
			"a revision out of range":    {expecting(1 << 63), proposed(uuid.New())},
			"a nil id":                   {options("s"), proposed(uuid.Nil)},
			"no id":                      {options("s"), edited(func(m *streams.AppendReq_ProposedMessage) { m.Id = nil })},
			"an empty id":                {options("s"), edited(func(m *streams.AppendReq_ProposedMessage) { m.Id = &shared.UUID{} })},
			"an id that is none":         {options("s"), edited(func(m *streams.AppendReq_ProposedMessage) { m.Id.Value = &shared.UUID_String_{String_: "x"} })},
			"an empty type":              {options("s"), edited(func(m *streams.AppendReq_ProposedMessage) { m.Metadata["type"] = "" })},
			"a fault and more after it":  {options("s"), proposed(uuid.Nil), proposed(uuid.New()), proposed(uuid.New())},
			"a fault in the second only": {options("s"), proposed(uuid.New()), proposed(uuid.Nil)},
		} {
			if _, _, err := send(r.ctx, t, stubs, messages...); status.Code(err) != codes.InvalidArgument {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if events, err := r.readAll(esdb.ReadAllOptions{From: esdb.Start{}}, everything); err != nil || len(events) != 0 {
			t.Errorf("the log has %d events, %v", len(events), err)
		}
	})

	t.Run("names what is missing", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		stubs := r.stubs()
		for _, key := range []string{"type", "content-type"} {
			m := proposed(uuid.New())
			delete(m.GetProposedMessage().Metadata, key)
			_, trailers, err := send(r.ctx, t, stubs, options("s"), m)
			wantRefusal(t, key, err, codes.InvalidArgument, trailers,
				"exception", "missing-required-metadata-property", "required-metadata-properties", "type,content-type")
		}
	})

	t.Run("names the limit, which is the one that was set", func(t *testing.T) {
		t.Parallel()
		for limit, text := range map[int]string{0: "1048576", 4096: "4096"} {
			r := newRig(t, func(o *esnode.Options) { o.MaxAppendBytes = limit })
			m := proposed(uuid.New())
			m.GetProposedMessage().Data = make([]byte, 2<<20)
			_, trailers, err := send(r.ctx, t, r.stubs(), options("s"), m, proposed(uuid.New()))
			wantRefusal(t, text, err, codes.InvalidArgument, trailers,
				"exception", "maximum-append-size-exceeded", "maximum-append-size", text)
		}
	})

	t.Run("mirrors what was expected", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a", "b")
		o := options("s")
		o.GetOptions().ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}
		reply, _, err := send(r.ctx, t, r.stubs(), o, proposed(uuid.New()))
		w := reply.GetWrongExpectedVersion()
		if err != nil || w.GetExpectedNoStream() == nil || w.GetCurrentRevision() != 1 || w.GetCurrentRevision_20_6_0() != 1 {
			t.Fatalf("got %v, %v", reply, err)
		}
	})

	t.Run("takes an id in either form", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		id := uuid.New()
		if _, _, err := send(r.ctx, t, r.stubs(), options("s"), proposed(id)); err != nil {
			t.Fatal(err)
		}
		events, err := r.readStream("s", esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
		if err != nil || len(events) != 1 || events[0].Event.EventID != id {
			t.Fatalf("got %v, %v", events, err)
		}
	})

	t.Run("that breaks off writes nothing", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		ctx, cancel := context.WithCancel(r.ctx)
		call, err := r.stubs().Append(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(call.Send(options("s")), call.Send(proposed(uuid.New()))); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := call.RecvMsg(new(streams.AppendResp)); status.Code(err) != codes.Canceled {
			t.Fatalf("got %v", err)
		}
		r.mustAppend("other", "x")
		events, err := r.readAll(esdb.ReadAllOptions{From: esdb.Start{}}, everything)
		if err != nil || len(events) != 1 {
			t.Fatalf("the log has %d events, %v", len(events), err)
		}
	})

	t.Run("of nothing succeeds without a position", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		reply, _, err := send(r.ctx, t, r.stubs(), options("s"))
		s := reply.GetSuccess()
		if err != nil || s.GetNoStream() == nil || s.GetNoPosition() == nil {
			t.Fatalf("got %v, %v", reply, err)
		}
	})
}

func wantRefusal(t *testing.T, what string, err error, code codes.Code, trailers metadata.MD, pairs ...string) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("%s: got %v, want %v", what, err, code)
	}
	for i := 0; i < len(pairs); i += 2 {
		if got := trailers.Get(pairs[i]); len(got) != 1 || got[0] != pairs[i+1] {
			t.Errorf("%s: trailer %s is %q, want %q", what, pairs[i], got, pairs[i+1])
		}
	}
}
