package messages_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/projections/messages"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
)

func posted(session, id string) eventschema.MessagePosted {
	return eventschema.MessagePosted{
		SessionID: session, ProjectID: "p", MessageID: id, Role: "user",
		Content: json.RawMessage(`[{"type":"text","n":1.50}]`), Meta: json.RawMessage(`{"k":1e2}`),
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	kit := projectiontest.Start(t, messages.Projector())
	answer := posted("s", "m3")
	answer.RunID = "run"
	records := kit.Apply("session-s", posted("s", "m1"), posted("s", "m2"), answer)
	kit.Apply("session-t", posted("t", "x"))

	list := func(f messages.Filter, cursor int64, limit int) string {
		t.Helper()
		rows, err := messages.OfSession(t.Context(), kit.Pool, "s", f, cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, m := range rows {
			ids = append(ids, m.ID+m.RunID)
			if string(m.Content) != `[{"type":"text","n":1.50}]` || string(m.Meta) != `{"k":1e2}` {
				t.Errorf("free JSON changed: %s %s", m.Content, m.Meta)
			}
		}
		return strings.Join(ids, " ")
	}
	at := func(i int) *time.Time { return &records[i].Meta.At }
	for want, got := range map[string]string{
		"m1 m2 m3run": list(messages.Filter{}, 0, 10),
		"m1 m2":       list(messages.Filter{}, 0, 2),
		"m2 m3run":    list(messages.Filter{}, int64(records[0].Position.Commit), 10),
		"m2":          list(messages.Filter{After: at(0), Before: at(2)}, 0, 10),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	kit.Apply("project-p", eventschema.ProjectDeleted{ProjectID: "p"})
	if left := list(messages.Filter{}, 0, 10); left != "" {
		t.Errorf("a deleted project has messages %s", left)
	}
}
