package storage

import (
	"encoding/binary"
	"fmt"
)

const (
	formatPrefix byte = 'f'
	eventPrefix  byte = 'e'
	indexPrefix  byte = 's'
	streamPrefix byte = 'm'
)

const (
	eventKeyLen = 1 + 8
	indexValLen = 8 + 8 + 4
)

var formatKey = []byte{formatPrefix}

func appendEventKey(dst []byte, position uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, eventPrefix), position)
}

func eventKeyPosition(key []byte) (uint64, error) {
	if len(key) != eventKeyLen || key[0] != eventPrefix {
		return 0, fmt.Errorf("event key %x: %w", key, ErrCorrupt)
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}

// The name's length stands before it, so that a stream whose name begins with
// another's does not lie within the other's range.
func indexKeyLen[S ~string | ~[]byte](name S) int { return 1 + 4 + len(name) + 8 }

func appendIndexKey[S ~string | ~[]byte](dst []byte, name S, revision uint64) []byte {
	dst = append(dst, indexPrefix)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(name)))
	dst = append(dst, name...)
	return binary.BigEndian.AppendUint64(dst, revision)
}

func indexKeyRevision(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

func appendStreamKey(dst []byte, name string) []byte {
	return append(append(dst, streamPrefix), name...)
}
