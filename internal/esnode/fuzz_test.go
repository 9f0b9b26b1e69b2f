package esnode

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// fuzzLimit is small, so that inputs go beyond it.
const fuzzLimit = 1 << 10

// fuzzService is the service on a log in memory, which all inputs write to.
func fuzzService(f *testing.F) *streamsService {
	f.Helper()
	log, err := storage.Open(storage.Options{Dir: "log", FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := log.Close(); err != nil {
			f.Error(err)
		}
	})
	m, err := newMetrics(nil)
	if err != nil {
		f.Fatal(err)
	}
	return &streamsService{
		engine:  engine.New(engine.Options{Log: log, MaxAppendBytes: fuzzLimit}),
		metrics: m, logger: slog.New(slog.DiscardHandler), stopping: context.Background(),
	}
}

// wantAnswered expects an outcome that a client can make something of: a panic
// would not be one, nor an error that nobody foresaw.
func wantAnswered(t *testing.T, err error) {
	t.Helper()
	switch status.Code(err) {
	case codes.OK, codes.InvalidArgument, codes.FailedPrecondition, codes.Canceled, codes.DeadlineExceeded:
	default:
		t.Errorf("the answer is %v", err)
	}
}

// call is a call whose client has said all that it says.
type call struct {
	grpc.ServerStream

	ctx      context.Context
	requests [][]byte

	mu      sync.Mutex
	replies []proto.Message
}

func newCall(t *testing.T, requests ...[]byte) *call {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return &call{ctx: ctx, requests: requests}
}

func (c *call) Context() context.Context   { return c.ctx }
func (*call) SetTrailer(metadata.MD)       {}
func (*call) SetHeader(metadata.MD) error  { return nil }
func (*call) SendHeader(metadata.MD) error { return nil }

func (c *call) RecvMsg(m any) error {
	if len(c.requests) == 0 {
		return io.EOF
	}
	next := c.requests[0]
	c.requests = c.requests[1:]
	if proto.Unmarshal(next, m.(proto.Message)) != nil {
		return status.Error(codes.Canceled, "no message")
	}
	return nil
}

// SendMsg keeps what a client would get: what cannot be encoded would end it.
func (c *call) SendMsg(m any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := proto.Marshal(m.(proto.Message)); err != nil {
		return status.Errorf(codes.Internal, "the answer cannot be sent: %v", err)
	}
	c.replies = append(c.replies, proto.Clone(m.(proto.Message)))
	return nil
}

// split takes the messages of a call out of one input: each is preceded by its
// length, as in gRPC.
func split(input []byte) [][]byte {
	var out [][]byte
	for len(input) > 0 {
		m, n := protowire.ConsumeBytes(input)
		if n < 0 {
			return append(out, input)
		}
		out, input = append(out, m), input[n:]
	}
	return out
}

func join(t testing.TB, messages ...proto.Message) []byte {
	t.Helper()
	var out []byte
	for _, m := range messages {
		out = protowire.AppendBytes(out, encoded(t, m))
	}
	return out
}

func encoded(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	seedName  = &shared.StreamIdentifier{StreamName: []byte("s")}
	seedProps = map[string]string{typeKey: "test", contentTypeKey: jsonContent}
)

func seedID() *shared.UUID { return structuredID(uuid.New()) }

func FuzzAppend(f *testing.F) {
	service := fuzzService(f)
	options := func(o *streams.AppendReq_Options) *streams.AppendReq {
		return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}}
	}
	event := func(size int) *streams.AppendReq {
		return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
			Id: seedID(), Metadata: seedProps, Data: make([]byte, size),
		}}}
	}
	exists := options(&streams.AppendReq_Options{
		StreamIdentifier: seedName, ExpectedStreamRevision: &streams.AppendReq_Options_StreamExists{StreamExists: empty},
	})
	f.Add(join(f, options(&streams.AppendReq_Options{
		StreamIdentifier: seedName, ExpectedStreamRevision: &streams.AppendReq_Options_Any{Any: empty},
	}), event(1), event(2)))
	f.Add(join(f, exists, event(fuzzLimit)))
	f.Add(join(f, event(1), exists))
	f.Add(join(f, exists, exists, &streams.AppendReq{}))
	f.Add(join(f, options(&streams.AppendReq_Options{
		StreamIdentifier:       &shared.StreamIdentifier{StreamName: []byte("$$s")},
		ExpectedStreamRevision: &streams.AppendReq_Options_Revision{Revision: 1 << 63},
	})))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, input []byte) {
		c := newCall(t, split(input)...)
		wantAnswered(t, service.Append(&grpc.GenericServerStream[streams.AppendReq, streams.AppendResp]{ServerStream: c}))
		var a appendRequest
		a.limit = fuzzLimit
		for _, m := range split(input) {
			var r streams.AppendReq
			if proto.Unmarshal(m, &r) == nil {
				a.add(&r)
			}
		}
		wantWithinLimit(t, &a)
	})
}

// wantWithinLimit expects that no more is held than an append may have.
func wantWithinLimit(t *testing.T, a *appendRequest) {
	t.Helper()
	held := 0
	for i := range a.append.Events {
		held += engine.EventBytes(&a.append.Events[i])
	}
	if held > a.limit || a.err != nil && held > 0 {
		t.Errorf("%d bytes are held, %v", held, a.err)
	}
}

func FuzzBatchAppend(f *testing.F) {
	service := fuzzService(f)
	message := func(final bool, size int) *streams.BatchAppendReq {
		return &streams.BatchAppendReq{
			CorrelationId: structuredID(uuid.UUID{1}),
			Options: &streams.BatchAppendReq_Options{
				StreamIdentifier:       seedName,
				ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}},
				DeadlineOption:         &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(time.Hour)},
			},
			ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{{Id: seedID(), Metadata: seedProps, Data: make([]byte, size)}},
			IsFinal:          final,
		}
	}
	late := message(true, 1)
	late.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline_21_10_0{Deadline_21_10_0: &timestamppb.Timestamp{Seconds: 1}}
	nameless := message(true, 1)
	nameless.Options.StreamIdentifier, nameless.CorrelationId = nil, nil
	f.Add(join(f, message(true, 1), message(false, 1), message(true, 2)))
	f.Add(join(f, message(false, fuzzLimit), message(true, 1), late))
	f.Add(join(f, nameless, &streams.BatchAppendReq{}, message(false, 1)))
	f.Add(join(f, &streams.BatchAppendReq{ProposedMessages: make([]*streams.BatchAppendReq_ProposedMessage, 50)}))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, input []byte) {
		c := newCall(t, split(input)...)
		wantAnswered(t, service.BatchAppend(&grpc.GenericServerStream[streams.BatchAppendReq, streams.BatchAppendResp]{ServerStream: c}))
		if len(c.replies) > len(split(input)) {
			t.Errorf("%d answers to %d messages", len(c.replies), len(split(input)))
		}
	})
}

func FuzzRead(f *testing.F) {
	service := fuzzService(f)
	seed := func(edit func(*streams.ReadReq_Options)) {
		o := &streams.ReadReq_Options{
			StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
				AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: empty},
			}},
			CountOption:  &streams.ReadReq_Options_Count{Count: 10},
			FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: empty},
			UuidOption:   &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_String_{String_: empty}},
		}
		edit(o)
		f.Add(encoded(f, &streams.ReadReq{Options: o}))
	}
	filter := func(f *streams.ReadReq_Options_FilterOptions) *streams.ReadReq_Options_Filter {
		f.Window = &streams.ReadReq_Options_FilterOptions_Max{Max: 2}
		f.CheckpointIntervalMultiplier = 1
		return &streams.ReadReq_Options_Filter{Filter: f}
	}
	follow := &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
	type expression = streams.ReadReq_Options_FilterOptions_Expression
	seed(func(*streams.ReadReq_Options) {})
	seed(func(o *streams.ReadReq_Options) {
		o.CountOption, o.ReadDirection = follow, streams.ReadReq_Options_Backwards
	})
	seed(func(o *streams.ReadReq_Options) {
		o.CountOption, o.FilterOption = follow, filter(&streams.ReadReq_Options_FilterOptions{
			Filter: &streams.ReadReq_Options_FilterOptions_EventType{EventType: &expression{Regex: `^[^\$].*`}},
		})
	})
	seed(func(o *streams.ReadReq_Options) {
		o.FilterOption = filter(&streams.ReadReq_Options_FilterOptions{
			Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: &expression{Prefix: []string{"s", ""}}},
		})
	})
	seed(func(o *streams.ReadReq_Options) {
		o.GetAll().AllOption = &streams.ReadReq_Options_AllOptions_Position{Position: &streams.ReadReq_Options_Position{CommitPosition: 1}}
	})
	seed(func(o *streams.ReadReq_Options) {
		o.ResolveLinks, o.StreamOption = true, &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
			StreamIdentifier: seedName, RevisionOption: &streams.ReadReq_Options_StreamOptions_Revision{Revision: 1 << 63},
		}}
	})
	for i, e := range []storage.NewEvent{{Type: "test", Data: []byte("{}"), JSON: true}, {Type: "$>", Data: []byte("0@s")}} {
		e.ID = uuid.UUID{byte(i + 1)}
		if _, err := service.engine.Append(f.Context(), engine.Append{Stream: "s", Expected: engine.Any, Events: []storage.NewEvent{e}}); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		var r streams.ReadReq
		if proto.Unmarshal(input, &r) != nil {
			return // not a message: gRPC refuses it before it comes here
		}
		c := newCall(t)
		ctx, cancel := context.WithCancel(c.ctx)
		defer cancel()
		c.ctx = ctx
		err := service.Read(&r, &leaver{GenericServerStream: &grpc.GenericServerStream[streams.ReadReq, streams.ReadResp]{ServerStream: c}, leave: cancel})
		wantAnswered(t, err)
	})
}

// leaver ends a subscription that has caught up, which would go on for ever.
type leaver struct {
	*grpc.GenericServerStream[streams.ReadReq, streams.ReadResp]

	leave func()
}

func (l *leaver) Send(m *streams.ReadResp) error {
	if m.GetCaughtUp() != nil {
		l.leave()
	}
	return l.GenericServerStream.Send(m)
}

func FuzzDelete(f *testing.F) {
	service := fuzzService(f)
	f.Add(encoded(f, &streams.DeleteReq{}), false)
	f.Add(encoded(f, &streams.DeleteReq{Options: &streams.DeleteReq_Options{
		StreamIdentifier: seedName, ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: empty},
	}}), false)
	f.Add(encoded(f, &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{
		StreamIdentifier: seedName, ExpectedStreamRevision: &streams.TombstoneReq_Options_Revision{Revision: 1<<64 - 1},
	}}), true)
	f.Add(encoded(f, &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{
		StreamIdentifier:       &shared.StreamIdentifier{StreamName: []byte("$$\xff")},
		ExpectedStreamRevision: &streams.TombstoneReq_Options_NoStream{NoStream: empty},
	}}), true)
	f.Fuzz(func(t *testing.T, input []byte, forEver bool) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var err error
		if forEver {
			var r streams.TombstoneReq
			if proto.Unmarshal(input, &r) == nil {
				_, err = service.Tombstone(ctx, &r)
			}
		} else {
			var r streams.DeleteReq
			if proto.Unmarshal(input, &r) == nil {
				_, err = service.Delete(ctx, &r)
			}
		}
		wantAnswered(t, err)
	})
}

// FuzzGossip looks for an address by which a client would be led astray.
func FuzzGossip(f *testing.F) {
	for _, authority := range []string{"localhost:2113", "[::1]:2113", "host", ":1", "host:0", "host:65536", "host:-1", "a:b:1", ""} {
		f.Add(authority)
	}
	f.Fuzz(func(t *testing.T, authority string) {
		e, ok := endpoint(authority)
		if ok && (e.GetAddress() == "" || e.GetPort() == 0 || e.GetPort() > 65535 || !strings.Contains(authority, e.GetAddress())) {
			t.Errorf("%q is %v", authority, e)
		}
	})
}

// FuzzBatchMessage holds the look at a message before it is read to the reading
// of it: nothing that could be appended is refused.
func FuzzBatchMessage(f *testing.F) {
	f.Add(encoded(f, &streams.BatchAppendReq{ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{{
		Id: structuredID([16]byte{15: 1}), Metadata: map[string]string{typeKey: "t", contentTypeKey: ""},
	}}}))
	f.Add(bytes.Repeat([]byte{proposedField<<3 | 2, 0}, 100))
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, input []byte) {
		var want streams.BatchAppendReq
		wantErr := proto.Unmarshal(input, &want)
		got, err := parseBatchAppend(input)
		if err == nil && (wantErr != nil || !proto.Equal(got, &want)) {
			t.Errorf("read as %v, it is %v, %v", got, &want, wantErr)
		}
		good := func(m *streams.BatchAppendReq_ProposedMessage) bool { _, err := proposedEvent(m); return err == nil }
		if err != nil && wantErr == nil && !slices.ContainsFunc(want.GetProposedMessages(), func(m *streams.BatchAppendReq_ProposedMessage) bool { return !good(m) }) {
			t.Errorf("refused: %v", err)
		}
	})
}
