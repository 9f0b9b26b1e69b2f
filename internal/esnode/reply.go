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

// replies makes the messages of one reading. An event's message is made anew
// from the same memory each time: it is good until the next one is asked for,
// which is after it has been sent.
type replies struct {
	textIDs  bool
	reply    streams.ReadResp
	content  streams.ReadResp_Event
	message  streams.ReadResp_ReadEvent
	position streams.ReadResp_ReadEvent_CommitPosition
	event    recorded
	link     recorded
}

func (r *replies) of(m engine.Message) *streams.ReadResp {
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
		return r.ofEvent(m.Resolved)
	}
}

func (r *replies) ofEvent(e engine.Resolved) *streams.ReadResp {
	place := e.Event
	r.message.Event, r.message.Link = nil, nil
	if e.Link != nil {
		place = e.Link
		r.message.Link = r.link.fill(e.Link, r.textIDs)
	}
	if e.Event != nil {
		r.message.Event = r.event.fill(e.Event, r.textIDs)
	}
	r.position.CommitPosition = place.Position
	r.message.Position = &r.position
	r.content.Event = &r.message
	r.reply.Content = &r.content
	return &r.reply
}

// recorded is the memory of one event's message.
type recorded struct {
	message    streams.ReadResp_ReadEvent_RecordedEvent
	stream     shared.StreamIdentifier
	id         shared.UUID
	text       shared.UUID_String_
	structured shared.UUID_Structured_
	number     shared.UUID_Structured
}

// fill must write the time as a decimal number: the official client ends its
// process if it cannot read it.
func (r *recorded) fill(e *storage.Event, textID bool) *streams.ReadResp_ReadEvent_RecordedEvent {
	if textID {
		r.text.String_ = uuid.UUID(e.ID).String()
		r.id.Value = &r.text
	} else {
		setStructured(&r.number, e.ID)
		r.structured.Structured = &r.number
		r.id.Value = &r.structured
	}
	contentType := binaryContent
	if e.JSON {
		contentType = jsonContent
	}
	m := &r.message
	if m.Metadata == nil {
		m.Metadata = make(map[string]string, 3)
	}
	m.Metadata[typeKey] = string(e.Type)
	m.Metadata[contentTypeKey] = contentType
	m.Metadata[createdKey] = strconv.FormatInt(e.Created, 10)
	r.stream.StreamName = e.Stream
	m.Id, m.StreamIdentifier = &r.id, &r.stream
	m.StreamRevision = e.Revision
	m.CommitPosition, m.PreparePosition = e.Position, e.Position
	m.CustomMetadata, m.Data = e.Metadata, e.Data
	return m
}

func setStructured(s *shared.UUID_Structured, id [16]byte) {
	s.MostSignificantBits = int64(binary.BigEndian.Uint64(id[:8]))
	s.LeastSignificantBits = int64(binary.BigEndian.Uint64(id[8:]))
}

func structuredID(id [16]byte) *shared.UUID {
	s := &shared.UUID_Structured{}
	setStructured(s, id)
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: s}}
}

func idOf(s *shared.UUID_Structured) [16]byte {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(s.GetMostSignificantBits()))
	binary.BigEndian.PutUint64(id[8:], uint64(s.GetLeastSignificantBits()))
	return id
}
