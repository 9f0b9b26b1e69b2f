package conformance

import (
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

func metadata() []Behaviour {
	return []Behaviour{
		{"metadata is given as it was set, and only its last version is shown", metadataIsKept},
		{"metadata is written at the revision of its own stream", metadataExpects},
		{"$maxCount shows a stream's last events", maxCountShowsLast},
		{"$tb shows a stream's events from a revision on", truncateShowsRest},
		{"$maxAge shows what is younger", maxAgeShowsYounger},
		{"a stream of which nothing is shown is empty, not missing", truncatedIsEmpty},
		{"metadata hides nothing from the log, nor from revision checks", metadataIsForReaders},
		{"metadata that is malformed sets no limit", malformedMetadata},
	}
}

func metadataIsKept(t *Trial) {
	stream, ten, five, age := t.stream("s"), uint64(10), uint64(5), time.Hour
	_, err := t.Metadata(t.ctx, stream)
	t.wantError("before it is set", err, ErrNotFound)
	t.setMetadata(stream, Metadata{MaxCount: &ten})
	set := Metadata{
		MaxCount: &five, TruncateBefore: &ten, MaxAge: &age,
		ReadRoles: []string{"readers"}, Custom: map[string]string{"owner": "ü", "colour": "blue"},
	}
	t.setMetadata(stream, set)
	got, err := t.Metadata(t.ctx, stream)
	if err != nil || got.MaxCount == nil || *got.MaxCount != 5 || got.TruncateBefore == nil || *got.TruncateBefore != 10 ||
		got.MaxAge == nil || *got.MaxAge != time.Hour || !slices.Equal(got.ReadRoles, set.ReadRoles) || !maps.Equal(got.Custom, set.Custom) {
		t.Errorf("got %+v, %v", got, err)
	}
	shown := t.read("$$"+stream, Read{Count: Everything})
	if len(shown) != 1 || shown[0].Event.Revision != 1 || shown[0].Event.Type != "$metadata" {
		t.Errorf("the metadata's stream shows %v", shown)
	}
}

func metadataExpects(t *Trial) {
	stream, five := t.stream("s"), uint64(5)
	t.say(stream, "a", "b", "c")
	for i, expected := range []Expected{NoStream, 0} {
		if r, err := t.SetMetadata(t.ctx, stream, expected, Metadata{MaxCount: &five}); err != nil || r.Revision != uint64(i) {
			t.Errorf("version %d: %+v, %v", i, r, err)
		}
	}
	_, err := t.SetMetadata(t.ctx, stream, NoStream, Metadata{MaxCount: &five})
	t.wantError("no stream, when it is set", err, ErrConflict)
}

func maxCountShowsLast(t *Trial) {
	stream, two := t.stream("s"), uint64(2)
	t.setMetadata(stream, Metadata{MaxCount: &two})
	t.say(stream, "a", "b", "c")
	t.wantStream(stream, "1:b", "2:c")
	t.say(stream, "d")
	t.wantStream(stream, "2:c", "3:d")
	t.wantShown("backwards", t.read(stream, Read{From: AtEnd(), Backwards: true, Count: Everything}), "3:d", "2:c")
	t.follow(stream, Subscribe{}).want("2:c", "3:d", string(CaughtUp))
}

func truncateShowsRest(t *Trial) {
	stream, one := t.stream("s"), uint64(1)
	t.say(stream, "a", "b", "c")
	t.setMetadata(stream, Metadata{TruncateBefore: &one})
	t.wantStream(stream, "1:b", "2:c")
	t.wantShown("from the first", t.read(stream, Read{From: AtRevision(0), Count: 1}), "1:b")
	t.wantShown("backwards from the first", t.read(stream, Read{From: AtRevision(0), Backwards: true, Count: 1}))
}

func maxAgeShowsYounger(t *Trial) {
	stream, hour := t.stream("s"), time.Hour
	t.say(stream, "a")
	t.setMetadata(stream, Metadata{MaxAge: &hour})
	t.wantStream(stream, "0:a")
}

func truncatedIsEmpty(t *Trial) {
	stream, beyond := t.stream("s"), uint64(10)
	t.say(stream, "a")
	t.setMetadata(stream, Metadata{TruncateBefore: &beyond})
	t.wantStream(stream)
	t.wantShown("backwards", t.read(stream, Read{From: AtEnd(), Backwards: true, Count: 1}))
}

func metadataIsForReaders(t *Trial) {
	stream, one := t.stream("s"), uint64(1)
	t.say(stream, "a", "b", "c")
	from := t.read(stream, Read{Count: 1})[0].Event.Position
	t.setMetadata(stream, Metadata{MaxCount: &one})
	_, err := t.Append(t.ctx, stream, NoStream, event("x"))
	t.wantError("no stream", err, ErrConflict)
	t.append(stream, 2, event("d"))
	t.wantStream(stream, "3:d")
	var got []Resolved
	for _, r := range t.mine(t.read(All, Read{From: AtPosition(from), Count: Everything})) {
		if r.Event.Stream == stream {
			got = append(got, r)
		}
	}
	t.wantShown("the log", got, "0:a", "1:b", "2:c", "3:d")
}

func malformedMetadata(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a", "b")
	for _, data := range []string{`{"$maxCount":"one"}`, `{"$maxCount":1`, `[]`, `1`} {
		t.append("$$"+stream, Any, Event{ID: uuid.New(), Type: "$metadata", JSON: true, Data: []byte(data)})
		t.wantStream(stream, "0:a", "1:b")
	}
}
