package storage

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// NewEvent is an event before it has a place in the log.
type NewEvent struct {
	ID       [16]byte
	Type     string
	JSON     bool // the data is said to be JSON; it is not checked
	Data     []byte
	Metadata []byte
}

// Event is an event with its place in the log. Its byte slices are views into
// storage: they are valid until the visitor that got the event returns, unless
// the event comes from Clone. Nobody may change them, since they may be shared.
type Event struct {
	Position uint64
	Revision uint64
	// Created counts ticks of 100 ns since 1970 UTC.
	Created  int64
	ID       [16]byte
	JSON     bool
	Stream   []byte
	Type     []byte
	Metadata []byte
	Data     []byte

	raw   []byte
	owned bool // the memory is the event's own, and stays
}

// Clone is e with memory of its own.
func (e *Event) Clone() *Event {
	if e.owned {
		return e
	}
	raw := make([]byte, len(e.raw))
	copy(raw, e.raw)
	c := view(e.Position, raw)
	c.owned = true
	return &c
}

// Size is the record's length in bytes, which is also the distance to the
// position that follows it.
func (e *Event) Size() uint64 { return uint64(len(e.raw)) }

// A record is
//
//	version u8 · checksum u32 · flags u8 · revision u64 · created u64 · id [16]
//	len(stream) u32 · len(type) u32 · len(metadata) u32 · stream · type · metadata · data
//
// The checksum (CRC-32C) covers all that follows it and the position, so that a
// sound record under another's key is found out too.
const (
	recordVersion   = 1
	recordHeaderLen = 1 + 4 + 1 + 8 + 8 + 16 + 4 + 4 + 4
	checksummedFrom = 5
	flagJSON        = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func recordSize(stream string, e *NewEvent) int {
	return recordHeaderLen + len(stream) + len(e.Type) + len(e.Metadata) + len(e.Data)
}

// encodeRecord fills dst, which has recordSize bytes.
func encodeRecord(dst []byte, position, revision uint64, created int64, stream string, e *NewEvent) {
	dst[0] = recordVersion
	dst[5] = 0
	if e.JSON {
		dst[5] = flagJSON
	}
	binary.BigEndian.PutUint64(dst[6:], revision)
	binary.BigEndian.PutUint64(dst[14:], uint64(created))
	copy(dst[22:], e.ID[:])
	binary.BigEndian.PutUint32(dst[38:], uint32(len(stream)))
	binary.BigEndian.PutUint32(dst[42:], uint32(len(e.Type)))
	binary.BigEndian.PutUint32(dst[46:], uint32(len(e.Metadata)))
	at := recordHeaderLen
	at += copy(dst[at:], stream)
	at += copy(dst[at:], e.Type)
	at += copy(dst[at:], e.Metadata)
	copy(dst[at:], e.Data)
	binary.BigEndian.PutUint32(dst[1:], recordChecksum(position, dst))
}

func recordChecksum(position uint64, record []byte) uint32 {
	var place [8]byte
	binary.BigEndian.PutUint64(place[:], position)
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, record[checksummedFrom:])
}

// decodeRecord checks a record and gives it as a view.
func decodeRecord(position uint64, record []byte) (Event, error) {
	if len(record) < recordHeaderLen || record[0] != recordVersion {
		return Event{}, fmt.Errorf("record at %d has an unknown form: %w", position, ErrCorrupt)
	}
	if binary.BigEndian.Uint32(record[1:]) != recordChecksum(position, record) {
		return Event{}, fmt.Errorf("record at %d fails its checksum: %w", position, ErrCorrupt)
	}
	names := uint64(binary.BigEndian.Uint32(record[38:])) + uint64(binary.BigEndian.Uint32(record[42:]))
	if names+uint64(binary.BigEndian.Uint32(record[46:])) > uint64(len(record)-recordHeaderLen) {
		return Event{}, fmt.Errorf("record at %d is shorter than it says: %w", position, ErrCorrupt)
	}
	return view(position, record), nil
}

// view is a sound record as an event.
func view(position uint64, record []byte) Event {
	body := record[recordHeaderLen:]
	part := func(at int) []byte {
		n := binary.BigEndian.Uint32(record[at:])
		p := body[:n:n]
		body = body[n:]
		return p
	}
	return Event{
		Position: position,
		Revision: binary.BigEndian.Uint64(record[6:]),
		Created:  int64(binary.BigEndian.Uint64(record[14:])),
		ID:       [16]byte(record[22:38]),
		JSON:     record[5]&flagJSON != 0,
		Stream:   part(38),
		Type:     part(42),
		Metadata: part(46),
		Data:     body,
		raw:      record,
	}
}
