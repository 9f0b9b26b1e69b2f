package engine_test

import (
	"math"
	"slices"
	"testing"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

func TestDelete(t *testing.T) {
	t.Parallel()

	t.Run("makes a stream not found and is an event of its metadata", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", engine.NoStream, 1, 2)
		r.setMetadata("s", `{"$maxCount":9}`)
		position := r.mustDelete("s", 1)
		r.wantMissing("s")
		r.wantStream("$$s", `1:{"$tb":9223372036854775807}`)
		if position != r.log.Head() {
			t.Fatalf("the position is %d, the event's is %d", position, r.log.Head())
		}
	})

	for name, expected := range map[string]engine.Expected{"any": engine.Any, "no stream": engine.NoStream, "exact": 1} {
		t.Run("lets the stream begin anew where it was, expecting "+name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.mustAppend("s", engine.NoStream, 1, 2)
			r.mustDelete("s", engine.Any)
			receipt := r.mustAppend("s", expected, 3, 4)
			r.wantStream("s", "2:3", "3:4")
			r.wantStream("$$s", `1:{"$tb":2}`)
			if e, _, err := r.log.Event("s", 3); err != nil || receipt.Position != e.Position || receipt.Revision != 3 {
				t.Fatalf("the receipt is %+v, the last event is at %d (%v)", receipt, e.Position, err)
			}
		})
	}

	t.Run("lets the stream keep the metadata that marked it as deleted", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", engine.NoStream, 1)
		r.setMetadata("s", `{"$tb":9223372036854775807,"$maxCount":2,"mine":{"a":[1]}}`)
		r.wantMissing("s")
		r.mustAppend("s", engine.NoStream, 2)
		r.wantStream("$$s", `1:{"$maxCount":2,"$tb":1,"mine":{"a":[1]}}`)
	})

	t.Run("is undone, without the old events, by new metadata", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", engine.NoStream, 1, 2)
		r.mustDelete("s", engine.Any)
		r.setMetadata("s", `{"mine":1}`)
		r.wantStream("s")
		r.wantStream("$$s", `2:{"$tb":2,"mine":1}`)
		r.mustAppend("s", 1, 3)
		r.wantStream("s", "2:3")
	})

	t.Run("can be repeated, and survives a restart", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", engine.NoStream, 1)
		r.mustDelete("s", 0)
		r.mustDelete("s", 0)
		r.restart()
		r.wantMissing("s")
		r.mustAppend("s", 0, 2)
		r.restart()
		r.wantStream("s", "1:2")
	})

	t.Run("leaves what the log holds", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", engine.NoStream, 1)
		r.mustDelete("s", 0)
		got, err := show(r.engine.ReadAll(r.ctx, engine.AllRead{Count: math.MaxUint64}))
		if want := []string{"0:1", `0:{"$tb":9223372036854775807}`}; err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %v, %v", got, err)
		}
	})

	for name, c := range map[string]struct {
		stream   string
		expected engine.Expected
		refused  func(error) bool // nil: accepted
	}{
		"any, of a new stream":                    {"new", engine.Any, isConflict},
		"none, of a new stream":                   {"new", engine.NoStream, isConflict},
		"exists, of a new stream":                 {"new", engine.StreamExists, isConflict},
		"exact, of a new stream":                  {"new", 0, isConflict},
		"any, of a stream with metadata alone":    {"meta", engine.Any, nil},
		"none, of a stream with metadata alone":   {"meta", engine.NoStream, nil},
		"exists, of a stream with metadata alone": {"meta", engine.StreamExists, nil},
		"any":                         {"live", engine.Any, nil},
		"exists":                      {"live", engine.StreamExists, nil},
		"none":                        {"live", engine.NoStream, isConflict},
		"exact":                       {"live", 2, nil},
		"below":                       {"live", 1, isConflict},
		"above":                       {"live", 3, isConflict},
		"any, of a deleted stream":    {"soft", engine.Any, nil},
		"none, of a deleted stream":   {"soft", engine.NoStream, nil},
		"exists, of a deleted stream": {"soft", engine.StreamExists, isDeleted},
		"any, of a closed stream":     {"hard", engine.Any, isDeleted},
		"an empty name":               {"", engine.Any, isInvalid},
	} {
		t.Run("is judged: "+name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			prepare(r)
			_, err := r.engine.Delete(r.ctx, c.stream, c.expected)
			if c.refused == nil && err != nil || c.refused != nil && !c.refused(err) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestTombstone(t *testing.T) {
	t.Parallel()

	t.Run("closes a stream for ever", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", engine.NoStream, 1)
		position := r.mustTombstone("s", 0)
		event, found, err := r.log.Event("s", storage.TombstoneRevision)
		if err != nil || !found || event.Position != position || string(event.Type) != "$streamDeleted" {
			t.Fatalf("the closing event is %+v, %v, %v", event, found, err)
		}
		r.restart()
		_, appendErr := r.append("s", engine.Any, 2)
		_, readErr := r.read("s")
		_, metaErr := r.read("$$s")
		_, deleteErr := r.engine.Delete(r.ctx, "s", engine.Any)
		_, tombstoneErr := r.engine.Tombstone(r.ctx, "s", engine.Any)
		_, subscribeErr := next(r.engine.SubscribeStream(r.ctx, engine.StreamSubscription{Stream: "s"}))
		for what, err := range map[string]error{
			"append": appendErr, "read": readErr, "metadata": metaErr, "delete": deleteErr,
			"tombstone": tombstoneErr, "subscribe": subscribeErr,
		} {
			if !isDeleted(err) {
				t.Errorf("%s: got %v", what, err)
			}
		}
	})

	t.Run("may close what never was", func(t *testing.T) {
		t.Parallel()
		for name, expected := range map[string]engine.Expected{"any": engine.Any, "none": engine.NoStream} {
			r := newRig(t)
			r.mustTombstone("s", expected)
			if _, err := r.append("s", engine.NoStream, 1); !isDeleted(err) {
				t.Errorf("%s: an append got %v", name, err)
			}
		}
	})

	t.Run("demands the revision that is expected", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		prepare(r)
		for stream, expected := range map[string]engine.Expected{"live": 1, "new": engine.StreamExists, "meta": 0} {
			if _, err := r.engine.Tombstone(r.ctx, stream, expected); !isConflict(err) {
				t.Errorf("%s: got %v", stream, err)
			}
		}
	})
}
