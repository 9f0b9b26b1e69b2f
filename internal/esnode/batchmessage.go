package esnode

import (
	"context"
	"errors"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

const (
	// proposedField is the number of the events in a message of BatchAppend.
	proposedField = 3
	// minProposed is less than any event takes that can be appended: it needs an
	// id, and the names of the two properties that must be there.
	minProposed = 32
)

var (
	errBusy      = errors.New("too much is under way on this call")
	errNotParsed = status.Error(codes.InvalidArgument, "a message of the batch cannot be read")
)

// parseBatchAppend reads a message. One with more events than its bytes can hold
// is refused before it is read: an event without content takes two bytes of a
// message, and a hundred of memory.
func parseBatchAppend(message []byte) (*streams.BatchAppendReq, error) {
	events := 0
	for rest := message; len(rest) > 0; {
		number, kind, size := protowire.ConsumeTag(rest)
		if size < 0 {
			return nil, errNotParsed
		}
		n := protowire.ConsumeFieldValue(number, kind, rest[size:])
		if n < 0 {
			return nil, errNotParsed
		}
		n += size
		if number == proposedField && kind == protowire.BytesType {
			events++
		}
		rest = rest[n:]
	}
	if events*minProposed > len(message) {
		return nil, status.Error(codes.InvalidArgument, "a message of the batch has events that have nothing in them")
	}
	m := new(streams.BatchAppendReq)
	if proto.Unmarshal(message, m) != nil {
		return nil, errNotParsed
	}
	return m, nil
}

// batchDeadline is when an append is no longer wanted, in the form that clients
// use since 21.10, or in the one that they used before. It is false for one that
// may take its time.
func batchDeadline(o *streams.BatchAppendReq_Options, now time.Time) (time.Time, bool, error) {
	switch d := o.GetDeadlineOption().(type) {
	case *streams.BatchAppendReq_Options_Deadline:
		if d.Deadline.CheckValid() != nil {
			return time.Time{}, false, malformed("the deadline is not a duration")
		}
		return now.Add(d.Deadline.AsDuration()), true, nil
	case *streams.BatchAppendReq_Options_Deadline_21_10_0:
		if d.Deadline_21_10_0.CheckValid() != nil {
			return time.Time{}, false, malformed("the deadline is not a time")
		}
		return d.Deadline_21_10_0.AsTime(), true, nil
	default:
		return time.Time{}, false, nil
	}
}

// batchReply is what the answer to an append repeats of its request.
type batchReply struct {
	correlation *shared.UUID
	stream      *shared.StreamIdentifier
	options     *streams.BatchAppendReq_Options
}

func newBatchReply(m *streams.BatchAppendReq) batchReply {
	o := m.GetOptions()
	return batchReply{m.GetCorrelationId(), o.GetStreamIdentifier(), o}
}

func (r batchReply) reply() *streams.BatchAppendResp {
	reply := &streams.BatchAppendResp{CorrelationId: r.correlation, StreamIdentifier: r.stream}
	switch o := r.options.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_StreamPosition:
		reply.ExpectedStreamPosition = &streams.BatchAppendResp_StreamPosition{StreamPosition: o.StreamPosition}
	case *streams.BatchAppendReq_Options_NoStream:
		reply.ExpectedStreamPosition = &streams.BatchAppendResp_NoStream{NoStream: &emptypb.Empty{}}
	case *streams.BatchAppendReq_Options_Any:
		reply.ExpectedStreamPosition = &streams.BatchAppendResp_Any{Any: &emptypb.Empty{}}
	case *streams.BatchAppendReq_Options_StreamExists:
		reply.ExpectedStreamPosition = &streams.BatchAppendResp_StreamExists{StreamExists: &emptypb.Empty{}}
	}
	return reply
}

func (r batchReply) succeeded(receipt engine.Receipt) *streams.BatchAppendResp {
	success := &streams.BatchAppendResp_Success{
		CurrentRevisionOption: &streams.BatchAppendResp_Success_NoStream{NoStream: &emptypb.Empty{}},
		PositionOption:        &streams.BatchAppendResp_Success_NoPosition{NoPosition: &emptypb.Empty{}},
	}
	if receipt.Revision != storage.NoRevision {
		success.CurrentRevisionOption = &streams.BatchAppendResp_Success_CurrentRevision{
			CurrentRevision: uint64(receipt.Revision),
		}
	}
	if receipt.Position != 0 {
		success.PositionOption = &streams.BatchAppendResp_Success_Position{Position: &shared.AllStreamPosition{
			CommitPosition: receipt.Position, PreparePosition: receipt.Position,
		}}
	}
	reply := r.reply()
	reply.Result = &streams.BatchAppendResp_Success_{Success: success}
	return reply
}

func (r batchReply) failed(err error) *streams.BatchAppendResp {
	reply := r.reply()
	reply.Result = &streams.BatchAppendResp_Error{Error: r.status(err)}
	return reply
}

// status says what went wrong by a message of its own: clients look at its type
// and show the text only when they do not know it.
func (r batchReply) status(err error) *rpcstatus.Status {
	code, text, detail := r.fault(err)
	reply := &rpcstatus.Status{Code: int32(code), Message: text}
	if packed, err := anypb.New(detail); err == nil {
		reply.Details = append(reply.Details, packed)
	}
	return reply
}

func (r batchReply) fault(err error) (codes.Code, string, proto.Message) {
	if e, ok := errors.AsType[*engine.ConflictError](err); ok {
		return codes.AlreadyExists, "WrongExpectedVersion", wrongExpected(e)
	}
	if _, ok := errors.AsType[*engine.DeletedError](err); ok {
		return codes.NotFound, "StreamDeleted", &shared.StreamDeleted{StreamIdentifier: r.stream}
	}
	if e, ok := errors.AsType[*engine.TooLargeError](err); ok {
		return codes.InvalidArgument, "MaximumAppendSizeExceeded", &shared.MaximumAppendSizeExceeded{MaxAppendSize: uint32(e.Max)}
	}
	_, invalid := errors.AsType[*engine.InvalidError](err)
	switch {
	case invalid, errors.Is(err, errMissingProperty):
		return codes.InvalidArgument, "BadRequest", &shared.BadRequest{Message: err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded, "Timeout", &shared.Timeout{}
	case errors.Is(err, errBusy):
		return codes.Unavailable, "Server Is Busy", &emptypb.Empty{}
	default:
		return code(err), err.Error(), &shared.Unknown{}
	}
}

func wrongExpected(e *engine.ConflictError) *shared.WrongExpectedVersion {
	w := &shared.WrongExpectedVersion{
		CurrentStreamRevisionOption: &shared.WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &emptypb.Empty{}},
	}
	if e.Current != storage.NoRevision {
		w.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentStreamRevision{
			CurrentStreamRevision: uint64(e.Current),
		}
	}
	switch e.Expected {
	case engine.Any:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedAny{ExpectedAny: &emptypb.Empty{}}
	case engine.StreamExists:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &emptypb.Empty{}}
	case engine.NoStream:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &emptypb.Empty{}}
	default:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamPosition{
			ExpectedStreamPosition: uint64(e.Expected),
		}
	}
	return w
}
