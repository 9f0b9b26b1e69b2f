package esnode

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	pb "github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/g4fagent/g4fagent/internal/esnode/persistent"
)

// FuzzGroups tries the requests of persistent subscriptions, and what a consumer
// may say.
func FuzzGroups(f *testing.F) {
	service := fuzzService(f)
	hub := persistent.New(persistent.Options{Engine: service.engine})
	f.Cleanup(func() { hub.Close(errStopping) })
	groups := &groupsService{hub: hub, logger: service.logger}
	named := &pb.CreateReq_Options_Stream{Stream: &pb.CreateReq_StreamOptions{StreamIdentifier: seedName}}
	settings := &pb.CreateReq_Settings{
		MaxCheckpointCount: 1, LiveBufferSize: 2, ReadBatchSize: 1, HistoryBufferSize: 2,
		MessageTimeout: &pb.CreateReq_Settings_MessageTimeoutTicks{MessageTimeoutTicks: 1 << 62},
	}
	connect := &pb.ReadReq{Content: &pb.ReadReq_Options_{Options: &pb.ReadReq_Options{
		StreamOption: &pb.ReadReq_Options_StreamIdentifier{StreamIdentifier: seedName}, GroupName: "g", BufferSize: 1,
		UuidOption: &pb.ReadReq_Options_UUIDOption{Content: &pb.ReadReq_Options_UUIDOption_String_{String_: empty}},
	}}}
	f.Add(byte(0), encoded(f, &pb.CreateReq{Options: &pb.CreateReq_Options{StreamOption: named, GroupName: "g", Settings: settings}}))
	f.Add(byte(1), encoded(f, &pb.UpdateReq{Options: &pb.UpdateReq_Options{
		StreamOption: &pb.UpdateReq_Options_All{All: &pb.UpdateReq_AllOptions{}}, GroupName: "g", Settings: &pb.UpdateReq_Settings{},
	}}))
	f.Add(byte(2), encoded(f, &pb.DeleteReq{}))
	f.Add(byte(3), encoded(f, &pb.GetInfoReq{Options: &pb.GetInfoReq_Options{GroupName: "g"}}))
	f.Add(byte(4), encoded(f, &pb.ListReq{Options: &pb.ListReq_Options{ListOption: &pb.ListReq_Options_ListAllSubscriptions{ListAllSubscriptions: empty}}}))
	f.Add(byte(5), encoded(f, &pb.ReplayParkedReq{Options: &pb.ReplayParkedReq_Options{StopAtOption: &pb.ReplayParkedReq_Options_StopAt{StopAt: -1}}}))
	f.Add(byte(6), join(f, connect, &pb.ReadReq{Content: &pb.ReadReq_Ack_{Ack: &pb.ReadReq_Ack{Ids: []*shared.UUID{seedID(), {}}}}}))
	f.Add(byte(6), join(f, connect, &pb.ReadReq{Content: &pb.ReadReq_Nack_{Nack: &pb.ReadReq_Nack{Ids: []*shared.UUID{seedID()}, Action: 99}}}, connect))
	f.Fuzz(func(t *testing.T, method byte, input []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := tryGroups(ctx, t, groups, method%7, input)
		if code := status.Code(err); code != codes.AlreadyExists && code != codes.NotFound && code != codes.Internal {
			wantAnswered(t, err)
		} else if code == codes.Internal && strings.Contains(err.Error(), "internal error") {
			t.Errorf("it panicked: %v", err)
		}
	})
}

func tryGroups(ctx context.Context, t *testing.T, groups *groupsService, method byte, input []byte) (err error) {
	t.Helper()
	switch method {
	case 0:
		err = try(input, func(r *pb.CreateReq) (*pb.CreateResp, error) { return groups.Create(ctx, r) })
	case 1:
		err = try(input, func(r *pb.UpdateReq) (*pb.UpdateResp, error) { return groups.Update(ctx, r) })
	case 2:
		err = try(input, func(r *pb.DeleteReq) (*pb.DeleteResp, error) { return groups.Delete(ctx, r) })
	case 3:
		err = try(input, func(r *pb.GetInfoReq) (*pb.GetInfoResp, error) { return groups.GetInfo(ctx, r) })
	case 4:
		err = try(input, func(r *pb.ListReq) (*pb.ListResp, error) { return groups.List(ctx, r) })
	case 5:
		err = try(input, func(r *pb.ReplayParkedReq) (*pb.ReplayParkedResp, error) { return groups.ReplayParked(ctx, r) })
	default:
		//nolint:contextcheck // a stream has a context of its own
		err = groups.Read(&grpc.GenericServerStream[pb.ReadReq, pb.ReadResp]{ServerStream: newCall(t, split(input)...)})
		if errors.Is(err, io.EOF) {
			return nil // the client said nothing
		}
	}
	return err
}

// try makes a call if its input is a message.
func try[Req, Resp any, Message interface {
	*Req
	proto.Message
}](input []byte, call func(Message) (*Resp, error)) error {
	r := Message(new(Req))
	var err error
	if proto.Unmarshal(input, r) == nil {
		_, err = call(r)
	}
	return err
}
