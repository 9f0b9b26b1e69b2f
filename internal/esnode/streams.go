package esnode

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// streamsService is the protocol's service of this name: writing, reading and
// subscribing.
type streamsService struct {
	streams.UnimplementedStreamsServer

	engine   *engine.Engine
	metrics  *metrics
	logger   *slog.Logger
	stopping context.Context
}

// Append decides nothing before the client has said all: a client whose call is
// refused while it still sends does not learn why.
func (s *streamsService) Append(stream streams.Streams_AppendServer) error {
	request, err := s.receiveAppend(stream)
	if errors.Is(err, errBroken) {
		return err
	}
	var receipt engine.Receipt
	if err == nil {
		receipt, err = s.engine.Append(stream.Context(), request)
	}
	s.metrics.wrote(err)
	if conflict, ok := errors.AsType[*engine.ConflictError](err); ok {
		return stream.SendAndClose(conflictReply(conflict))
	}
	if err != nil {
		return s.refuse(stream.Context(), stream.SetTrailer, err)
	}
	return stream.SendAndClose(receiptReply(receipt))
}

// errBroken marks an append whose request did not arrive as a whole.
var errBroken = errors.New("the request broke off")

// receiveAppend reads a request to its end. A first error is kept, and what
// follows it is read and dropped.
func (s *streamsService) receiveAppend(stream streams.Streams_AppendServer) (engine.Append, error) {
	var a appendRequest
	a.limit = s.engine.MaxAppendBytes()
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return a.finish()
		}
		if err != nil {
			return engine.Append{}, errors.Join(errBroken, err)
		}
		a.add(m)
	}
}

func (s *streamsService) Delete(ctx context.Context, r *streams.DeleteReq) (*streams.DeleteResp, error) {
	o := r.GetOptions()
	position, err := s.delete(ctx, o, o.GetExpectedStreamRevision(), s.engine.Delete)
	if err != nil {
		return nil, err
	}
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{
		Position: &streams.DeleteResp_Position{CommitPosition: position, PreparePosition: position},
	}}, nil
}

func (s *streamsService) Tombstone(ctx context.Context, r *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	o := r.GetOptions()
	position, err := s.delete(ctx, o, o.GetExpectedStreamRevision(), s.engine.Tombstone)
	if err != nil {
		return nil, err
	}
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{
		Position: &streams.TombstoneResp_Position{CommitPosition: position, PreparePosition: position},
	}}, nil
}

func (s *streamsService) delete(
	ctx context.Context, o named, expectation any,
	remove func(context.Context, string, engine.Expected) (uint64, error),
) (uint64, error) {
	expected, err := expectedRevision(expectation)
	var position uint64
	if err == nil {
		position, err = remove(ctx, streamName(o), expected)
	}
	s.metrics.wrote(err)
	if err != nil {
		setTrailer := func(md metadata.MD) { _ = grpc.SetTrailer(ctx, md) } // fails only outside a call
		return 0, s.refuse(ctx, setTrailer, err)
	}
	return position, nil
}

// Read reads a stream or the log, once or for as long as the client likes.
func (s *streamsService) Read(r *streams.ReadReq, stream streams.Streams_ReadServer) error {
	request, err := parseRead(r.GetOptions())
	if err == nil && request.subscribe {
		err = s.subscribe(request, stream)
	} else if err == nil {
		err = s.read(request, stream)
	}
	if err != nil {
		return s.refuse(stream.Context(), stream.SetTrailer, err)
	}
	return nil
}

func (s *streamsService) read(r readRequest, stream streams.Streams_ReadServer) error {
	events := s.engine.ReadAll(stream.Context(), r.all)
	if r.ofStream {
		events = s.engine.ReadStream(stream.Context(), r.stream)
	}
	replies := replies{textIDs: r.textIDs}
	for event, err := range events {
		if errors.Is(err, engine.ErrStreamNotFound) {
			return stream.Send(notFoundReply(r.stream.Stream))
		}
		if err != nil {
			return err
		}
		if err := stream.Send(replies.ofEvent(event)); err != nil {
			return err
		}
	}
	return nil
}

func (s *streamsService) subscribe(r readRequest, stream streams.Streams_ReadServer) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.stopping, func() { cancel(errStopping) })()
	s.metrics.subscriptions.Inc()
	defer s.metrics.subscriptions.Dec()

	messages := s.engine.SubscribeAll(ctx, r.subscribeAll())
	if r.ofStream {
		messages = s.engine.SubscribeStream(ctx, r.subscribeStream())
	}
	replies := replies{textIDs: r.textIDs}
	for m, err := range messages {
		if err != nil {
			return err
		}
		if err := stream.Send(replies.of(m)); err != nil {
			return err
		}
	}
	return nil
}

// report logs what is not the client's own doing.
func (s *streamsService) report(ctx context.Context, err error) {
	if errors.Is(err, storage.ErrCorrupt) {
		s.logger.ErrorContext(ctx, "stored data is corrupt and was not served", slog.Any("error", err))
	}
}

// refuse turns an error into what the client gets.
func (s *streamsService) refuse(ctx context.Context, setTrailer func(metadata.MD), err error) error {
	s.report(ctx, err)
	trailers, refused := refusal(err)
	if trailers != nil {
		setTrailer(trailers)
	}
	return refused
}
