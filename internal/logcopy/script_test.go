package logcopy_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strconv"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"

	"github.com/g4fagent/g4fagent/internal/logcopy"
)

// script is a server whose log is what a test says: one that a server of another
// making has written, in that server's order, or scavenged.
type script struct {
	streams.UnimplementedStreamsServer

	events []line
}

// line is an event of a script.
type line struct {
	stream   string
	revision uint64
	kind     string
	data     string
	id       uuid.UUID
}

func (l line) message(position uint64) *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
		Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: position},
		Event: &streams.ReadResp_ReadEvent_RecordedEvent{
			Id: &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
				MostSignificantBits:  int64(binary.BigEndian.Uint64(l.id[:8])),
				LeastSignificantBits: int64(binary.BigEndian.Uint64(l.id[8:])),
			}}},
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(l.stream)},
			StreamRevision:   l.revision, CommitPosition: position, PreparePosition: position,
			Metadata: map[string]string{"type": l.kind, "content-type": "application/json", "created": strconv.Itoa(17_000_000_000_000_000)},
			Data:     []byte(l.data),
		},
	}}}
}

// Read knows the whole log forwards, and no streams.
func (s *script) Read(r *streams.ReadReq, out streams.Streams_ReadServer) error {
	if stream := r.GetOptions().GetStream(); stream != nil {
		return out.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
			StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: stream.GetStreamIdentifier()},
		}})
	}
	from := r.GetOptions().GetAll().GetPosition().GetCommitPosition()
	for i, l := range s.events {
		if position := uint64(i+1) * 100; position >= from {
			if err := out.Send(l.message(position)); err != nil {
				return err
			}
		}
	}
	return nil
}

// serve makes a store of a script.
func serve(t *testing.T, events ...line) *logcopy.Store {
	t.Helper()
	for i := range events {
		events[i].id = uuid.New()
		if events[i].kind == "" {
			events[i].kind = "e"
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	streams.RegisterStreamsServer(server, &script{events: events})
	go func() { _ = server.Serve(listener) }() // it ends with Stop
	t.Cleanup(server.Stop)
	store, err := logcopy.Open(logcopy.Where{Address: listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// Another server writes the metadata of a stream that begins anew before the
// events that begin it.
func TestCopyOfAnotherServersOrder(t *testing.T) {
	t.Parallel()
	from := serve(t,
		line{stream: "$settings", kind: "update"},
		line{stream: "a"}, line{stream: "a", revision: 1},
		line{stream: "$$a", kind: "$metadata", data: `{"$maxAge":99,"mine":"x"}`},
		line{stream: "$$a", revision: 1, kind: "$metadata", data: `{"$tb":9223372036854775807}`},
		line{stream: "$$a", revision: 2, kind: "$metadata", data: `{ "$tb": 2 }`},
		line{stream: "a", revision: 2}, line{stream: "a", revision: 3},
		line{stream: "b"},
		line{stream: "$$$stats", kind: "$metadata", data: `{"$maxAge":1}`},
		line{stream: "$$a", revision: 3, kind: "$metadata", data: `{"$tb":9223372036854775807}`},
		line{stream: "$$a", revision: 4, kind: "$metadata", data: `{"$tb":4}`},
		line{stream: "a", revision: 4},
		line{stream: "c", revision: 1<<63 - 1, kind: "$streamDeleted"},
	)
	to := newSide(t)
	for runs := 0; ; runs++ {
		ctx, cancel := context.WithCancel(t.Context())
		report, err := logcopy.Copy(ctx, from, to.open(), logcopy.Options{Page: 1, Progress: func(p logcopy.Progress) {
			if !p.Comparing {
				cancel()
			}
		}})
		cancel()
		if err == nil {
			if runs < 5 || report.Events != 12 || report.Streams != 2 {
				t.Errorf("after %d interruptions: %+v", runs, report)
			}
			break
		}
		if !errors.Is(ctx.Err(), context.Canceled) || runs > 20 {
			t.Fatal(err)
		}
	}
	if got, _ := to.read("a"); len(got) != 1 {
		t.Errorf("a reads %v", got)
	}
	if _, failure := to.read("c"); failure == "" {
		t.Error("c is not deleted for ever")
	}
}

func TestCopyRefusesWhatWasScavenged(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]line{
		"events":   {stream: "a", revision: 7},
		"metadata": {stream: "$$a", revision: 7, kind: "$metadata", data: `{"$maxAge":5}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := newSide(t)
			_, err := logcopy.Copy(t.Context(), serve(t, line{stream: "b"}, lost), to.store, logcopy.Options{})
			if !errors.Is(err, logcopy.ErrTruncated) {
				t.Errorf("got %v", err)
			}
		})
	}
}
