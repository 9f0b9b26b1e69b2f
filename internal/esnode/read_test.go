package esnode_test

import (
	"errors"
	"io"
	"strconv"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestRead(t *testing.T) {
	t.Parallel()

	t.Run("by a slow reader holds nothing up", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		big := event("x")
		big.Data = make([]byte, 200_000)
		for range 30 {
			big.EventID = uuid.New()
			if _, err := r.append("s", esdb.Any{}, big); err != nil {
				t.Fatal(err)
			}
		}
		stream, err := r.client.ReadAll(r.ctx, esdb.ReadAllOptions{From: esdb.Start{}}, everything)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			r.mustAppend("t", "x")
		}
		for n := 1; ; n++ {
			if _, err := stream.Recv(); errors.Is(err, io.EOF) {
				if n != 30 {
					t.Errorf("read %d events, the log had 30 when it began", n)
				}
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// valid is a request that is edited into what is to be tried.
func valid() *streams.ReadReq_Options {
	return &streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
			AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}},
		}},
		CountOption:  &streams.ReadReq_Options_Count{Count: 10},
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		UuidOption: &streams.ReadReq_Options_UUIDOption{
			Content: &streams.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}},
		},
	}
}

func filtered(edit func(*streams.ReadReq_Options_FilterOptions)) *streams.ReadReq_Options_Filter {
	f := &streams.ReadReq_Options_FilterOptions{
		Filter: &streams.ReadReq_Options_FilterOptions_EventType{
			EventType: &streams.ReadReq_Options_FilterOptions_Expression{Prefix: []string{"test"}},
		},
		Window:                       &streams.ReadReq_Options_FilterOptions_Count{Count: &shared.Empty{}},
		CheckpointIntervalMultiplier: 1,
	}
	edit(f)
	return &streams.ReadReq_Options_Filter{Filter: f}
}

func TestRawRead(t *testing.T) {
	t.Parallel()

	t.Run("refuses what does not go together", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		stubs := r.stubs()
		ofStream := &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
			StreamIdentifier: named("s"),
			RevisionOption:   &streams.ReadReq_Options_StreamOptions_Start{Start: &shared.Empty{}},
		}}
		subscription := &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
		type o = streams.ReadReq_Options
		type f = streams.ReadReq_Options_FilterOptions
		for name, edit := range map[string]func(*o){
			"no source": func(o *o) { o.StreamOption = nil },
			"no start":  func(o *o) { o.GetAll().AllOption = nil },
			"no start in a stream": func(o *o) {
				o.StreamOption = &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{StreamIdentifier: named("s")}}
			},
			"no count":                    func(o *o) { o.CountOption = nil },
			"no word on filters":          func(o *o) { o.FilterOption = nil },
			"no form of ids":              func(o *o) { o.UuidOption = nil },
			"an empty form of ids":        func(o *o) { o.UuidOption.Content = nil },
			"an unknown direction":        func(o *o) { o.ReadDirection = 7 },
			"a subscription backwards":    func(o *o) { o.CountOption, o.ReadDirection = subscription, streams.ReadReq_Options_Backwards },
			"a filter of a stream":        func(o *o) { o.StreamOption, o.FilterOption = ofStream, filtered(func(*f) {}) },
			"a filter without a subject":  func(o *o) { o.FilterOption = filtered(func(f *f) { f.Filter = nil }) },
			"a filter without expression": func(o *o) { o.FilterOption = filtered(func(f *f) { f.GetEventType().Prefix = nil }) },
			"a filter that is not RE2":    func(o *o) { o.FilterOption = filtered(func(f *f) { f.GetEventType().Regex = "(?!x)" }) },
			"a subscription's zero window": func(o *o) {
				o.CountOption, o.FilterOption = subscription, filtered(func(f *f) { f.Window = &streams.ReadReq_Options_FilterOptions_Max{} })
			},
			"a subscription's no window": func(o *o) { o.CountOption, o.FilterOption = subscription, filtered(func(f *f) { f.Window = nil }) },
			"a zero interval": func(o *o) {
				o.CountOption, o.FilterOption = subscription, filtered(func(f *f) { f.CheckpointIntervalMultiplier = 0 })
			},
			"a stream without a name": func(o *o) {
				o.StreamOption = &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{RevisionOption: ofStream.Stream.RevisionOption}}
			},
		} {
			options := valid()
			edit(options)
			call, err := stubs.Read(r.ctx, &streams.ReadReq{Options: options})
			if err == nil {
				_, err = call.Recv()
			}
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("%s: got %v", name, err)
			}
		}
		call, err := stubs.Read(r.ctx, &streams.ReadReq{})
		if err == nil {
			_, err = call.Recv()
		}
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("no options: got %v", err)
		}
	})

	t.Run("filters, and gives ids as text when asked", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		other := event("a")
		other.EventType = "other"
		if _, err := r.append("s", esdb.NoStream{}, other, event("b")); err != nil {
			t.Fatal(err)
		}
		options := valid()
		options.FilterOption = filtered(func(*streams.ReadReq_Options_FilterOptions) {})
		call, err := r.stubs().Read(r.ctx, &streams.ReadReq{Options: options})
		if err != nil {
			t.Fatal(err)
		}
		reply, err := call.Recv()
		if err != nil {
			t.Fatal(err)
		}
		e := reply.GetEvent().GetEvent()
		if string(e.GetData()) != `"b"` || e.GetCommitPosition() != e.GetPreparePosition() || e.GetCommitPosition() != reply.GetEvent().GetCommitPosition() {
			t.Errorf("got %v", reply)
		}
		if _, err := uuid.Parse(e.GetId().GetString_()); err != nil {
			t.Errorf("the id is %v", e.GetId())
		}
		if _, err := strconv.ParseInt(e.GetMetadata()["created"], 10, 64); err != nil || len(e.GetMetadata()) != 3 {
			t.Errorf("the metadata is %v", e.GetMetadata())
		}
		if _, err := call.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("after the events: %v", err)
		}
	})
}
