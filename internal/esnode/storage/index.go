package storage

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// indexEntry is what a stream's index says of one revision. The time is there
// so that events too old to be shown are passed over without being read.
type indexEntry struct {
	revision uint64 // of the key
	position uint64
	created  int64
}

func appendIndexValue(dst []byte, e indexEntry) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, e.position)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.created))
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func decodeIndexValue(value []byte) (indexEntry, error) {
	if len(value) != indexValLen || binary.BigEndian.Uint32(value[16:]) != crc32.Checksum(value[:16], castagnoli) {
		return indexEntry{}, fmt.Errorf("index entry %x: %w", value, ErrCorrupt)
	}
	return indexEntry{
		position: binary.BigEndian.Uint64(value),
		created:  int64(binary.BigEndian.Uint64(value[8:])),
	}, nil
}
