package esnode_test

import (
	"errors"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

func TestDelete(t *testing.T) {
	t.Parallel()

	t.Run("makes a stream not found until it begins anew", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a", "b")
		result, err := r.client.DeleteStream(r.ctx, "s", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(1)})
		if err != nil {
			t.Fatal(err)
		}
		last, err := r.readAll(esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1)
		if err != nil || len(last) != 1 || last[0].Event.Position != result.Position || last[0].Event.EventType != "$metadata" {
			t.Fatalf("the result is %+v, the last event is %+v, %v", result, last, err)
		}
		_, err = r.readStream("s", esdb.ReadStreamOptions{From: esdb.Start{}}, everything)
		wantCode(t, "read", err, esdb.ErrorCodeResourceNotFound)
		if _, err := r.append("s", esdb.NoStream{}, event("c")); err != nil {
			t.Fatal(err)
		}
		r.wantStream("s", `2:"c"`)
		metadata, err := r.client.GetStreamMetadata(r.ctx, "s", esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}})
		if err != nil || metadata.TruncateBefore() == nil || *metadata.TruncateBefore() != 2 {
			t.Fatalf("the metadata is %+v, %v", metadata, err)
		}
	})

	t.Run("of what is not there, or elsewhere, is a refused precondition", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a")
		_, err := r.client.DeleteStream(r.ctx, "new", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}})
		wantStatus(t, "new", err, codes.FailedPrecondition)
		_, err = r.client.DeleteStream(r.ctx, "s", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(5)})
		wantStatus(t, "s", err, codes.FailedPrecondition)
		_, err = r.client.DeleteStream(r.ctx, "$$", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}})
		wantStatus(t, "$$", err, codes.InvalidArgument)
	})

	t.Run("names what it expected and found", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a")
		for _, c := range []struct {
			stream           string
			expected         *streams.DeleteReq_Options
			version, current string
		}{
			{"s", &streams.DeleteReq_Options{ExpectedStreamRevision: &streams.DeleteReq_Options_Revision{Revision: 5}}, "5", "0"},
			{"s", &streams.DeleteReq_Options{ExpectedStreamRevision: &streams.DeleteReq_Options_NoStream{NoStream: &shared.Empty{}}}, "-1", "0"},
			{"new", &streams.DeleteReq_Options{ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: &shared.Empty{}}}, "-2", "-1"},
			{"new", &streams.DeleteReq_Options{ExpectedStreamRevision: &streams.DeleteReq_Options_StreamExists{StreamExists: &shared.Empty{}}}, "-4", "-1"},
		} {
			var trailers metadata.MD
			c.expected.StreamIdentifier = named(c.stream)
			_, err := r.stubs().Delete(r.ctx, &streams.DeleteReq{Options: c.expected}, grpc.Trailer(&trailers))
			wantRefusal(t, c.version, err, codes.FailedPrecondition, trailers,
				"exception", "wrong-expected-version", "stream-name", c.stream, "expected-version", c.version, "actual-version", c.current)
		}
	})

	t.Run("is refused when it is malformed", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		stubs := r.stubs()
		_, deleteErr := stubs.Delete(r.ctx, &streams.DeleteReq{})
		_, tombstoneErr := stubs.Tombstone(r.ctx, &streams.TombstoneReq{})
		_, namelessErr := stubs.Delete(r.ctx, &streams.DeleteReq{Options: &streams.DeleteReq_Options{
			ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: &shared.Empty{}},
		}})
		for _, err := range []error{deleteErr, tombstoneErr, namelessErr} {
			wantRefusal(t, "malformed", err, codes.InvalidArgument, nil)
		}
	})
}

func TestTombstone(t *testing.T) {
	t.Parallel()

	t.Run("closes a stream to everything", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", "a")
		result, err := r.client.TombstoneStream(r.ctx, "s", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Revision(0)})
		if err != nil {
			t.Fatal(err)
		}
		last, err := r.readAll(esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1)
		if err != nil || last[0].Event.Position != result.Position || last[0].Event.EventType != "$streamDeleted" ||
			last[0].Event.StreamID != "s" || last[0].Event.EventNumber != 1<<63-1 {
			t.Fatalf("the result is %+v, the last event is %+v, %v", result, last, err)
		}
		_, appendErr := r.append("s", esdb.Any{}, event("x"))
		_, readErr := r.readStream("s", esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
		_, metadataErr := r.client.GetStreamMetadata(r.ctx, "s", esdb.ReadStreamOptions{})
		_, deleteErr := r.client.DeleteStream(r.ctx, "s", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}})
		_, tombstoneErr := r.client.TombstoneStream(r.ctx, "s", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
		_, subscribeErr := r.client.SubscribeToStream(r.ctx, "s", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		for what, err := range map[string]error{
			"append": appendErr, "read": readErr, "metadata": metadataErr,
			"delete": deleteErr, "tombstone": tombstoneErr, "subscribe": subscribeErr,
		} {
			wantCode(t, what, err, esdb.ErrorCodeStreamDeleted)
		}
	})

	t.Run("may close what never was", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		if _, err := r.client.TombstoneStream(r.ctx, "s", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.NoStream{}}); err != nil {
			t.Fatal(err)
		}
		_, err := r.append("s", esdb.NoStream{}, event("x"))
		wantCode(t, "append", err, esdb.ErrorCodeStreamDeleted)
	})

	t.Run("names a stream whose name fits no trailer", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		const name = "a\nü%"
		if _, err := r.client.TombstoneStream(r.ctx, name, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
			t.Fatal(err)
		}
		_, err := r.append(name, esdb.Any{}, event("x"))
		e, ok := errors.AsType[*esdb.Error](err)
		if !ok || e.Err().Error() != "stream 'a%0A%C3%BC%25' is deleted" {
			t.Fatalf("got %v", err)
		}
	})
}
