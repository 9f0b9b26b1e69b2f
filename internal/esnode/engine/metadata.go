package engine

import (
	"encoding/json"
	"math"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// What the server itself writes and reads.
const (
	metadataType  = "$metadata"
	tombstoneType = "$streamDeleted"
	linkType      = "$>"

	truncateBeforeKey = "$tb"
	maxCountKey       = "$maxCount"
	maxAgeKey         = "$maxAge"
)

// deletedBefore is the $tb that marks a deleted stream: beyond any revision.
const deletedBefore int64 = math.MaxInt64

var deletedMetadata = []byte(`{"$tb":9223372036854775807}`)

// parseRetention reads the limits out of a metadata event's data. Metadata that
// is malformed anywhere sets no limit at all, as on a real server.
func parseRetention(data []byte, isJSON bool) storage.Retention {
	var properties map[string]json.RawMessage
	if !isJSON || json.Unmarshal(data, &properties) != nil {
		return storage.Retention{}
	}
	var r storage.Retention
	for _, p := range []struct {
		key   string
		least int64
		into  *int64
	}{
		{truncateBeforeKey, 0, &r.TruncateBefore},
		{maxCountKey, 1, &r.MaxCount},
		{maxAgeKey, 1, &r.MaxAge},
	} {
		raw, ok := properties[p.key]
		if !ok {
			continue
		}
		var n *int64
		if json.Unmarshal(raw, &n) != nil || n == nil || *n < p.least {
			return storage.Retention{}
		}
		*p.into = *n
	}
	return r
}

// recreated is a deleted stream's metadata once the stream begins anew at a
// revision: the old properties, with $tb there. It is false for metadata that
// is not an object, which marks nothing as deleted.
func recreated(data []byte, first int64) ([]byte, bool) {
	var properties map[string]json.RawMessage
	if json.Unmarshal(data, &properties) != nil || properties == nil {
		return nil, false
	}
	number, err := json.Marshal(first)
	if err != nil {
		return nil, false
	}
	properties[truncateBeforeKey] = number
	out, err := json.Marshal(properties)
	return out, err == nil
}

func softDeleted(s storage.Stream) bool { return s.Retention.TruncateBefore == deletedBefore }
