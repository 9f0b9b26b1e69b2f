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
