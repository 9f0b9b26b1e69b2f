package storage

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// NoRevision is the last revision of a stream that has no events.
const NoRevision int64 = -1

// TombstoneRevision is the revision of the event that closes a stream for ever.
const TombstoneRevision uint64 = 1<<63 - 1

// Stream is what is known of a stream without reading its events.
type Stream struct {
	// Last is the last ordinary revision, or NoRevision.
	Last       int64
	Tombstoned bool
	Retention  Retention
	// At is the position of the newest event that this state rests on.
	At uint64
}

// Retention says which of a stream's events are to be shown. Zero means that a
// limit is not set. Storage keeps it and gives it no meaning.
type Retention struct {
	TruncateBefore int64 // revisions below it are not shown
	MaxCount       int64 // events
	MaxAge         int64 // seconds
}

const (
	streamVersion  = 1
	streamStateLen = 1 + 4 + 1 + 5*8
	flagTombstoned = 1
)

func encodeStream(dst []byte, name string, s Stream) {
	dst[0] = streamVersion
	dst[5] = 0
	if s.Tombstoned {
		dst[5] = flagTombstoned
	}
	for i, v := range [...]uint64{
		uint64(s.Last + 1), uint64(s.Retention.TruncateBefore),
		uint64(s.Retention.MaxCount), uint64(s.Retention.MaxAge), s.At,
	} {
		binary.BigEndian.PutUint64(dst[6+8*i:], v)
	}
	binary.BigEndian.PutUint32(dst[1:], streamChecksum(name, dst))
}

func streamChecksum(name string, state []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(name), castagnoli), castagnoli, state[checksummedFrom:])
}

func decodeStream(name string, state []byte) (Stream, error) {
	if len(state) != streamStateLen || state[0] != streamVersion {
		return Stream{}, fmt.Errorf("state of stream %q has an unknown form: %w", name, ErrCorrupt)
	}
	if binary.BigEndian.Uint32(state[1:]) != streamChecksum(name, state) {
		return Stream{}, fmt.Errorf("state of stream %q fails its checksum: %w", name, ErrCorrupt)
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(state[6+8*i:]) }
	return Stream{
		Last:       int64(at(0)) - 1,
		Tombstoned: state[5]&flagTombstoned != 0,
		Retention: Retention{
			TruncateBefore: int64(at(1)),
			MaxCount:       int64(at(2)),
			MaxAge:         int64(at(3)),
		},
		At: at(4),
	}, nil
}
