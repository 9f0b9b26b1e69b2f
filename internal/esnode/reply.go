package esnode

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

var empty = &shared.Empty{}

func receiptReply(r engine.Receipt) *streams.AppendResp {
	success := &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_NoStream{NoStream: empty},
		PositionOption:        &streams.AppendResp_Success_NoPosition{NoPosition: empty},
	}
	if r.Revision != storage.NoRevision {
		success.CurrentRevisionOption = &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(r.Revision)}
	}
	if r.Position != 0 {
		success.PositionOption = &streams.AppendResp_Success_Position{
			Position: &streams.AppendResp_Position{CommitPosition: r.Position, PreparePosition: r.Position},
		}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: success}}
}

// conflictReply says everything twice, once for clients older than 20.6.1.
func conflictReply(e *engine.ConflictError) *streams.AppendResp {
	w := &streams.AppendResp_WrongExpectedVersion{
		CurrentRevisionOption:        &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: empty},
		CurrentRevisionOption_20_6_0: &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{NoStream_20_6_0: empty},
	}
	if e.Current != storage.NoRevision {
		current := uint64(e.Current)
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: current}
		w.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{
			CurrentRevision_20_6_0: current,
		}
	}
	mirrorExpected(w, e.Expected)
	return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: w}}
}

func mirrorExpected(w *streams.AppendResp_WrongExpectedVersion, expected engine.Expected) {
	switch expected {
	case engine.Any:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: empty}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_Any_20_6_0{Any_20_6_0: empty}
	case engine.StreamExists:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: empty}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0{
			StreamExists_20_6_0: empty,
		}
	case engine.NoStream:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: empty}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{
			ExpectedRevision_20_6_0: math.MaxUint64,
		}
	default:
		revision := uint64(expected)
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: revision}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{
			ExpectedRevision_20_6_0: revision,
		}
	}
}

func notFoundReply(stream string) *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{StreamNotFound: &streams.ReadResp_StreamNotFound{
		StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)},
	}}}
}

func messageReply(m engine.Message, textIDs bool) *streams.ReadResp {
	switch m.Kind {
	case engine.Confirmed:
		return &streams.ReadResp{Content: &streams.ReadResp_Confirmation{
			Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: uuid.NewString()},
		}}
	case engine.CaughtUp:
		return &streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}}
	case engine.Checkpoint:
		return &streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{Checkpoint: &streams.ReadResp_Checkpoint{
			CommitPosition: m.Position.Commit, PreparePosition: m.Position.Prepare,
		}}}
	default:
		return eventReply(m.Resolved, textIDs)
	}
}

func eventReply(r engine.Resolved, textIDs bool) *streams.ReadResp {
	place := r.Event
	event := &streams.ReadResp_ReadEvent{}
	if r.Link != nil {
		place = r.Link
		event.Link = recordedEvent(r.Link, textIDs)
	}
	if r.Event != nil {
		event.Event = recordedEvent(r.Event, textIDs)
	}
	event.Position = &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: place.Position}
	return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: event}}
}

// recordedEvent must write the time as a decimal number: the official client
// ends its process if it cannot read it.
func recordedEvent(e *storage.Event, textID bool) *streams.ReadResp_ReadEvent_RecordedEvent {
	contentType := binaryContent
	if e.JSON {
		contentType = jsonContent
	}
	id := structuredID(e.ID)
	if textID {
		id = &shared.UUID{Value: &shared.UUID_String_{String_: uuid.UUID(e.ID).String()}}
	}
	return &streams.ReadResp_ReadEvent_RecordedEvent{
		Id:               id,
		StreamIdentifier: &shared.StreamIdentifier{StreamName: e.Stream},
		StreamRevision:   e.Revision,
		CommitPosition:   e.Position,
		PreparePosition:  e.Position,
		Metadata: map[string]string{
			typeKey:        string(e.Type),
			contentTypeKey: contentType,
			createdKey:     strconv.FormatInt(e.Created, 10),
		},
		CustomMetadata: e.Metadata,
		Data:           e.Data,
	}
}

func structuredID(id [16]byte) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

func idOf(s *shared.UUID_Structured) [16]byte {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(s.GetMostSignificantBits()))
	binary.BigEndian.PutUint64(id[8:], uint64(s.GetLeastSignificantBits()))
	return id
}
