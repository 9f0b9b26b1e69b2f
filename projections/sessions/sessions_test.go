package sessions_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
	"github.com/g4fagent/g4fagent/projections/sessions"
)

func created(id, project, title string) eventschema.SessionCreated {
	return eventschema.SessionCreated{
		SessionID: id, ProjectID: project, Title: title, Status: "active", ProviderID: "openai", ModelID: "m",
		Config: json.RawMessage(`{"a":1}`), Memory: json.RawMessage(`{"b":[1.0]}`), Tags: []string{"x"},
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	kit := projectiontest.Start(t, sessions.Projector())
	records := kit.Apply("session-a", created("a", "p", "First"),
		eventschema.SessionUpdated{SessionID: "a", ProjectID: "p", Title: new("Changed"), Tags: new([]string{}), Memory: json.RawMessage(`{}`)})
	kit.Apply("session-b", created("b", "p", "Second"))
	kit.Apply("session-c", created("c", "q", "Other"))

	got, found, err := sessions.ByID(t.Context(), kit.Pool, "a")
	if err != nil || !found {
		t.Fatal(found, err)
	}
	if got.Title != "Changed" || len(got.Tags) != 0 || string(got.Config) != `{"a":1}` || string(got.Memory) != `{}` ||
		got.Revision != 1 || !got.UpdatedAt.Equal(records[1].Meta.At) || !got.CreatedAt.Equal(records[0].Meta.At) || got.ProviderID != "openai" {
		t.Fatalf("%+v", got)
	}
	ids := func(project string, f sessions.Filter, cursor int64) []string {
		t.Helper()
		list, err := sessions.OfProject(t.Context(), kit.Pool, project, f, cursor, 10)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, s := range list {
			ids = append(ids, s.ID)
		}
		return ids
	}
	for name, same := range map[string]bool{
		"all":    slices.Equal(ids("p", sessions.Filter{}, 0), []string{"a", "b"}),
		"cursor": slices.Equal(ids("p", sessions.Filter{}, got.Position), []string{"b"}),
		"title":  slices.Equal(ids("p", sessions.Filter{Title: "SEC"}, 0), []string{"b"}),
		"status": slices.Equal(ids("p", sessions.Filter{Status: "closed"}, 0), nil),
	} {
		if !same {
			t.Errorf("%s: wrong list", name)
		}
	}
	kit.Apply("session-b", eventschema.SessionClosed{SessionID: "b", ProjectID: "p"})
	kit.Apply("project-p", eventschema.ProjectDeleted{ProjectID: "p"})
	if left := ids("p", sessions.Filter{}, 0); left != nil {
		t.Errorf("a deleted project has sessions %v", left)
	}
	if others := ids("q", sessions.Filter{}, 0); !slices.Equal(others, []string{"c"}) {
		t.Errorf("another project has %v", others)
	}
}
