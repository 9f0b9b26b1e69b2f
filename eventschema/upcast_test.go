package eventschema_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
)

// badgeGiven is an event at its third version: "who" became "user_id" first, and
// then the colors became a list.
type badgeGiven struct {
	UserID string   `json:"user_id"`
	Motto  string   `json:"motto" seal:"user"`
	Colors []string `json:"colors"`
}

func (badgeGiven) EventName() string { return "badge.given" }

type badgeGivenV1 struct {
	Who   string `json:"who"`
	Motto string `json:"motto"`
	Color string `json:"color"`
}

type badgeGivenV2 struct {
	UserID string `json:"user_id"`
	Motto  string `json:"motto"`
	Color  string `json:"color"`
}

func renamed(old badgeGivenV1) badgeGivenV2 {
	return badgeGivenV2{UserID: old.Who, Motto: old.Motto, Color: old.Color}
}

// listed has the shape of today's JSON, in which the motto still is sealed.
func listed(old badgeGivenV2) any {
	return map[string]any{"user_id": old.UserID, "motto": old.Motto, "colors": []string{old.Color}}
}

func TestUpcasts(t *testing.T) {
	t.Parallel()
	badges := eventschema.NewCatalogue(eventschema.Declare[badgeGiven](3, eventschema.From(1, renamed), eventschema.From(2, listed)))
	sealed, err := eventschematest.Sealer{}.Seal("user", "u", []byte("Onward"))
	if err != nil {
		t.Fatal(err)
	}
	want := badgeGiven{UserID: "u", Motto: "Onward", Colors: []string{"red"}}

	for version, data := range map[int]string{
		1: `{"who":"u","motto":"` + sealed + `","color":"red"}`,
		2: `{"user_id":"u","motto":"` + sealed + `","color":"red"}`,
		3: `{"user_id":"u","motto":"` + sealed + `","colors":["red"]}`,
	} {
		got, err := badges.Decode(eventschema.Stored{Name: "badge.given", Version: version, Data: []byte(data)}, eventschematest.Sealer{})
		if err != nil {
			t.Errorf("version %d: %v", version, err)
			continue
		}
		if d := cmp.Diff(eventschema.Event(want), got); d != "" {
			t.Errorf("version %d (-want +got):\n%s", version, d)
		}
	}

	t.Run("write the current version", func(t *testing.T) {
		t.Parallel()
		stored, err := badges.Encode(want, eventschematest.Sealer{})
		if err != nil || stored.Version != 3 {
			t.Errorf("version %d, %v", stored.Version, err)
		}
	})

	t.Run("refuse a field that the old version did not have", func(t *testing.T) {
		t.Parallel()
		_, err := badges.Decode(eventschema.Stored{Name: "badge.given", Version: 1, Data: []byte(`{"who":"u","user_id":"u"}`)}, eventschematest.Sealer{})
		if err == nil || !strings.Contains(err.Error(), `upcast "badge.given" from version 1`) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("refuse a version of a later build", func(t *testing.T) {
		t.Parallel()
		_, err := badges.Decode(eventschema.Stored{Name: "badge.given", Version: 4, Data: []byte(`{}`)}, eventschematest.Sealer{})
		if !errors.Is(err, eventschema.ErrUnknownEvent) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("may not be missing", func(t *testing.T) {
		t.Parallel()
		defer func() {
			if recover() == nil {
				t.Error("a catalogue without a way up from version 1 was made")
			}
		}()
		eventschema.NewCatalogue(eventschema.Declare[badgeGiven](3, eventschema.From(2, listed)))
	})
}
