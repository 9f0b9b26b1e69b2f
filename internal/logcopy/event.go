package logcopy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// What servers write by themselves.
const (
	metadataType  = "$metadata"
	tombstoneType = "$streamDeleted"
	jsonContent   = "application/json"
)

func before(a, b esdb.Position) bool {
	return cmp.Or(cmp.Compare(a.Commit, b.Commit), cmp.Compare(a.Prepare, b.Prepare)) < 0
}

// ownerOf is the stream that a stream holds the metadata of.
func ownerOf(stream string) (owner string, ok bool) { return strings.CutPrefix(stream, "$$") }

// copied reports whether a stream belongs to the log, and not to its server: it is
// a user's, the ledger of an earlier copy, or the metadata of one of these.
func copied(stream string) bool {
	if owner, ok := ownerOf(stream); ok {
		stream = owner
	}
	return !strings.HasPrefix(stream, "$") || strings.HasPrefix(stream, ledgerPrefix)
}

// isMetadata reports whether e is of a stream's metadata. Servers write such
// events by themselves too, each in an order of its own.
func isMetadata(e *esdb.RecordedEvent) bool {
	_, ok := ownerOf(e.StreamID)
	return ok
}

// same reports whether an event of the target is the source's. Events that servers
// write by themselves have ids of their own, and bytes of their own for the same
// metadata.
func same(a, b *esdb.RecordedEvent) bool {
	if a.StreamID != b.StreamID || a.EventNumber != b.EventNumber || a.EventType != b.EventType {
		return false
	}
	if a.EventType == tombstoneType {
		return true
	}
	if a.EventID == b.EventID && a.ContentType == b.ContentType && bytes.Equal(a.Data, b.Data) && bytes.Equal(a.UserMetadata, b.UserMetadata) {
		return true
	}
	return isMetadata(a) && a.EventType == metadataType && sameJSON(a.Data, b.Data)
}

func sameJSON(a, b []byte) bool {
	x := object(a)
	return x != nil && reflect.DeepEqual(x, object(b))
}

// object is a JSON object with its numbers as they are written, nil if data is
// none.
func object(data []byte) map[string]any {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var o map[string]any
	if d.Decode(&o) != nil {
		return nil
	}
	return o
}

// marksDeleted reports whether metadata says that its stream is deleted softly.
func marksDeleted(data []byte) bool {
	return object(data)["$tb"] == json.Number("9223372036854775807")
}

func toData(e *esdb.RecordedEvent) esdb.EventData {
	d := esdb.EventData{EventID: e.EventID, EventType: e.EventType, ContentType: esdb.ContentTypeBinary, Data: e.Data, Metadata: e.UserMetadata}
	if e.ContentType == jsonContent {
		d.ContentType = esdb.ContentTypeJson
	}
	return d
}

// size is what e counts towards the limit of an append.
func size(e *esdb.RecordedEvent) int { return len(e.Data) + len(e.UserMetadata) + 2*len(e.EventType) }

func describe(e *esdb.RecordedEvent) string {
	if e == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s at revision %d of %s (%s)", e.EventType, e.EventNumber, e.StreamID, e.EventID)
}
