package esnode_test

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestRead(t *testing.T) {
	t.Parallel()

	t.Run("of a stream", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("other", "x")
		r.mustAppend("s", "a", "b", "c")
		for name, c := range map[string]struct {
			options esdb.ReadStreamOptions
			count   uint64
			want    []string
		}{
			"forwards":                    {esdb.ReadStreamOptions{From: esdb.Start{}}, everything, []string{`0:"a"`, `1:"b"`, `2:"c"`}},
			"forwards from 1":             {esdb.ReadStreamOptions{From: esdb.Revision(1)}, 1, []string{`1:"b"`}},
			"forwards past the end":       {esdb.ReadStreamOptions{From: esdb.Revision(3)}, everything, nil},
			"forwards from the end":       {esdb.ReadStreamOptions{From: esdb.End{}}, everything, nil},
			"backwards":                   {esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, 2, []string{`2:"c"`, `1:"b"`}},
			"backwards from 1":            {esdb.ReadStreamOptions{From: esdb.Revision(1), Direction: esdb.Backwards}, everything, []string{`1:"b"`, `0:"a"`}},
			"backwards from past the end": {esdb.ReadStreamOptions{From: esdb.Revision(99), Direction: esdb.Backwards}, 1, []string{`2:"c"`}},
			"backwards from the start":    {esdb.ReadStreamOptions{From: esdb.Start{}, Direction: esdb.Backwards}, everything, []string{`0:"a"`}},
		} {
			events, err := r.readStream("s", c.options, c.count)
			if err != nil || !slices.Equal(show(events), c.want) {
				t.Errorf("%s: got %v, %v, want %v", name, show(events), err, c.want)
			}
		}
		_, err := r.readStream("new", esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
		wantCode(t, "a stream that is not there", err, esdb.ErrorCodeResourceNotFound)
	})

	t.Run("of the log", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a")
		middle := r.mustAppend("t", "b")
		r.mustAppend("s", "c")
		at := esdb.Position{Commit: middle.CommitPosition, Prepare: middle.PreparePosition}
		for name, c := range map[string]struct {
			options esdb.ReadAllOptions
			count   uint64
			want    []string
		}{
			"forwards":                 {esdb.ReadAllOptions{From: esdb.Start{}}, everything, []string{`0:"a"`, `0:"b"`, `1:"c"`}},
			"forwards, inclusive":      {esdb.ReadAllOptions{From: at}, everything, []string{`0:"b"`, `1:"c"`}},
			"forwards from the end":    {esdb.ReadAllOptions{From: esdb.End{}}, everything, nil},
			"backwards":                {esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}, 2, []string{`1:"c"`, `0:"b"`}},
			"backwards, exclusive":     {esdb.ReadAllOptions{From: at, Direction: esdb.Backwards}, everything, []string{`0:"a"`}},
			"backwards from the start": {esdb.ReadAllOptions{From: esdb.Start{}, Direction: esdb.Backwards}, everything, nil},
		} {
			events, err := r.readAll(c.options, c.count)
			if err != nil || !slices.Equal(show(events), c.want) {
				t.Errorf("%s: got %v, %v, want %v", name, show(events), err, c.want)
			}
		}
	})

	t.Run("dates events", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		before := time.Now().Add(-time.Microsecond)
		r.mustAppend("s", "a")
		events, err := r.readStream("s", esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if created := events[0].Event.CreatedDate; created.Before(before) || created.After(time.Now()) {
			t.Errorf("created %v", created)
		}
	})

	t.Run("heeds metadata that the client sets", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a", "b", "c")
		var m esdb.StreamMetadata
		m.SetMaxCount(2)
		m.SetAcl(esdb.Acl{})
		if _, err := r.client.SetStreamMetadata(r.ctx, "s", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, m); err != nil {
			t.Fatal(err)
		}
		r.wantStream("s", `1:"b"`, `2:"c"`)
		got, err := r.client.GetStreamMetadata(r.ctx, "s", esdb.ReadStreamOptions{From: esdb.Start{}})
		if err != nil || got.MaxCount() == nil || *got.MaxCount() != 2 {
			t.Fatalf("got %+v, %v", got, err)
		}
		_, err = r.client.SetStreamMetadata(r.ctx, "s", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, m)
		wantCode(t, "set again", err, esdb.ErrorCodeWrongExpectedVersion)
	})

	t.Run("resolves links", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a")
		for i, target := range []string{"0@s", "1@s"} {
			link := event("")
			link.EventType, link.Data = "$>", []byte(target)
			if _, err := r.append("links", esdb.Any{}, link); err != nil {
				t.Fatalf("link %d: %v", i, err)
			}
		}
		events, err := r.readStream("links", esdb.ReadStreamOptions{From: esdb.Start{}, ResolveLinkTos: true}, everything)
		if err != nil || len(events) != 2 {
			t.Fatalf("got %v, %v", events, err)
		}
		if e := events[0]; e.Event == nil || e.Event.StreamID != "s" || e.Link == nil || e.Link.StreamID != "links" || *e.Commit != e.Link.Position.Commit {
			t.Errorf("a link to an event: got %+v", e)
		}
		if e := events[1]; e.Event != nil || e.Link == nil || e.Link.EventNumber != 1 {
			t.Errorf("a link to nothing: got %+v", e)
		}
	})

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
