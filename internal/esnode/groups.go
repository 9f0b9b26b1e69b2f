package esnode

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	pb "github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/g4fagent/g4fagent/internal/esnode/persistent"
)

// groupsService is the protocol's service of persistent subscriptions.
type groupsService struct {
	pb.UnimplementedPersistentSubscriptionsServer

	hub    *persistent.Hub
	logger *slog.Logger
}

func (s *groupsService) Create(ctx context.Context, r *pb.CreateReq) (*pb.CreateResp, error) {
	key, settings, err := createRequest(r.GetOptions())
	if err == nil {
		err = s.hub.Create(ctx, key, settings)
	}
	if err != nil {
		return nil, refuseGroup(ctx, key, err)
	}
	return &pb.CreateResp{}, nil
}

func (s *groupsService) Update(ctx context.Context, r *pb.UpdateReq) (*pb.UpdateResp, error) {
	key, settings, err := updateRequest(r.GetOptions())
	if err == nil {
		err = s.hub.Update(ctx, key, settings)
	}
	if err != nil {
		return nil, refuseGroup(ctx, key, err)
	}
	return &pb.UpdateResp{}, nil
}

func (s *groupsService) Delete(ctx context.Context, r *pb.DeleteReq) (*pb.DeleteResp, error) {
	o := r.GetOptions()
	key, err := groupKey(o.GetStreamOption(), o.GetGroupName())
	if err == nil {
		err = s.hub.Delete(ctx, key)
	}
	if err != nil {
		return nil, refuseGroup(ctx, key, err)
	}
	return &pb.DeleteResp{}, nil
}

func (s *groupsService) GetInfo(ctx context.Context, r *pb.GetInfoReq) (*pb.GetInfoResp, error) {
	o := r.GetOptions()
	var info persistent.Info
	key, err := groupKey(o.GetStreamOption(), o.GetGroupName())
	if err == nil {
		info, err = s.hub.Info(ctx, key)
	}
	if err != nil {
		return nil, refuseGroup(ctx, key, err)
	}
	return &pb.GetInfoResp{SubscriptionInfo: infoReply(info)}, nil
}

func (s *groupsService) List(ctx context.Context, r *pb.ListReq) (*pb.ListResp, error) {
	stream, err := listedStream(r.GetOptions().GetListOption())
	var infos []persistent.Info
	if err == nil {
		infos, err = s.hub.List(ctx, stream)
	}
	if err != nil {
		return nil, refuseGroup(ctx, persistent.Key{Stream: stream}, err)
	}
	reply := &pb.ListResp{}
	for _, info := range infos {
		reply.Subscriptions = append(reply.Subscriptions, infoReply(info))
	}
	return reply, nil
}

func (s *groupsService) ReplayParked(ctx context.Context, r *pb.ReplayParkedReq) (*pb.ReplayParkedResp, error) {
	o := r.GetOptions()
	key, err := groupKey(o.GetStreamOption(), o.GetGroupName())
	var stopAt *uint64
	if err == nil {
		stopAt, err = replayEnd(o.GetStopAtOption())
	}
	if err == nil {
		err = s.hub.ReplayParked(ctx, key, stopAt)
	}
	if err != nil {
		return nil, refuseGroup(ctx, key, err)
	}
	return &pb.ReplayParkedResp{}, nil
}

func (s *groupsService) RestartSubsystem(ctx context.Context, _ *shared.Empty) (*shared.Empty, error) {
	if err := s.hub.Restart(ctx); err != nil {
		return nil, refuseGroup(ctx, persistent.Key{}, err)
	}
	return empty, nil
}

// Read connects a consumer: it confirms that, and then sends events as the
// client acknowledges others.
func (s *groupsService) Read(stream pb.PersistentSubscriptions_ReadServer) error {
	first, err := receiveRead(stream)
	if errors.Is(err, errLeft) {
		return err
	}
	o := first.GetOptions()
	var key persistent.Key
	if err == nil {
		key, err = groupKey(o.GetStreamOption(), o.GetGroupName())
	}
	if err == nil {
		err = s.read(stream, key, o)
	}
	if err != nil {
		trailers, refused := groupRefusal(key, err)
		stream.SetTrailer(trailers)
		return refused
	}
	return nil
}

func (s *groupsService) read(stream pb.PersistentSubscriptions_ReadServer, key persistent.Key, o *pb.ReadReq_Options) error {
	textIDs, err := wantsTextIDs(o.GetUuidOption())
	if err != nil {
		return err
	}
	c, err := s.hub.Connect(stream.Context(), key, int(o.GetBufferSize()))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := stream.Send(groupConfirmation(key)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	// It ends with the call's context at the latest, which ends when this returns.
	go func() { cancel(s.receive(stream, c)) }()
	replies := groupReplies{textIDs: textIDs}
	for {
		d, err := c.Next(ctx)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if errors.Is(err, errLeft) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(replies.of(d)); err != nil {
			return err
		}
	}
}

// maxRead bounds a message of a consumer, before it is read: an id without content
// takes two bytes of it, and a hundred of memory. An acknowledgement of the 2,000
// events that official clients put into one has 80 KB.
const maxRead = 1 << 20

func receiveRead(stream grpc.ServerStream) (*pb.ReadReq, error) {
	var raw emptypb.Empty // takes any message, as unknown fields
	if err := stream.RecvMsg(&raw); err != nil {
		return nil, errors.Join(errLeft, err)
	}
	message := raw.ProtoReflect().GetUnknown()
	if len(message) > maxRead {
		return nil, malformed("a message of %d bytes, where at most %d are needed", len(message), maxRead)
	}
	m := new(pb.ReadReq)
	if proto.Unmarshal(message, m) != nil {
		return nil, malformed("a message that cannot be read")
	}
	return m, nil
}

// errLeft says that a client has said all that it had to say.
var errLeft = errors.New("the client left")

// receive takes what a client says of its events, until it says no more.
func (s *groupsService) receive(stream pb.PersistentSubscriptions_ReadServer, c *persistent.Consumer) (err error) {
	defer recovered(stream.Context(), s.logger, pb.PersistentSubscriptions_Read_FullMethodName, &err)
	for {
		m, err := receiveRead(stream)
		if err == nil {
			err = settle(c, m)
		}
		if err != nil {
			return err
		}
	}
}

func settle(c *persistent.Consumer, m *pb.ReadReq) error {
	switch said := m.GetContent().(type) {
	case *pb.ReadReq_Ack_:
		ids, err := eventIDs(said.Ack.GetIds())
		if err == nil {
			c.Ack(ids...)
		}
		return err
	case *pb.ReadReq_Nack_:
		ids, err := eventIDs(said.Nack.GetIds())
		if err == nil {
			c.Nack(nackAction(said.Nack.GetAction()), strings.ToValidUTF8(said.Nack.GetReason(), "?"), ids...)
		}
		return err
	default:
		return malformed("neither an acknowledgement nor its refusal")
	}
}

func refuseGroup(ctx context.Context, key persistent.Key, err error) error {
	trailers, refused := groupRefusal(key, err)
	_ = grpc.SetTrailer(ctx, trailers) // fails only outside a call
	return refused
}

// groupRefusal is what a caller gets for an error of a persistent subscription.
func groupRefusal(key persistent.Key, err error) (metadata.MD, error) {
	says := func(exception string) metadata.MD {
		return metadata.Pairs(exceptionKey, exception, streamNameKey, headerText(key.Stream), groupNameKey, headerText(key.Group))
	}
	if e, ok := errors.AsType[*persistent.InvalidError](err); ok {
		md := says("persistent-subscription-failed")
		md.Set(reasonKey, headerText(e.Reason))
		return md, status.Error(codes.Internal, e.Error()) // the code that EventStoreDB has for it
	}
	switch {
	case errors.Is(err, persistent.ErrExists):
		return says("persistent-subscription-exists"), status.Error(codes.AlreadyExists, err.Error())
	case errors.Is(err, persistent.ErrNotFound):
		return says("persistent-subscription-does-not-exist"), status.Error(codes.NotFound, err.Error())
	case errors.Is(err, persistent.ErrMaxSubscribers):
		return says("maximum-subscribers-reached"), status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, persistent.ErrDropped):
		return says("persistent-subscription-dropped"), status.Error(codes.Canceled, err.Error())
	default:
		return refusal(err)
	}
}

// The trailers by which clients know an error of a persistent subscription.
const (
	groupNameKey = "group-name"
	reasonKey    = "reason"
)
