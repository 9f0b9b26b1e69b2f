package projects_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
	"github.com/g4fagent/g4fagent/projections/projects"
)

func TestProjects(t *testing.T) {
	t.Parallel()
	kit := projectiontest.Start(t, projects.Projector())
	a := kit.Apply("project-a",
		eventschema.ProjectCreated{ProjectID: "a", Name: "Shop", Description: "d", Status: "active", Environment: "dev", Repo: json.RawMessage(`{"n":12345678901234567890}`)},
		eventschema.ProjectUpdated{ProjectID: "a", Name: new("Shop 2"), Status: new("Archived")},
		eventschema.ProjectSessionAdded{ProjectID: "a", Session: eventschema.SessionCreated{
			SessionID: "s", ProjectID: "a", Config: json.RawMessage(`{}`), Memory: json.RawMessage(`{}`),
		}},
	)
	kit.Apply("project-b", eventschema.ProjectCreated{ProjectID: "b", Name: "Gone", Repo: json.RawMessage(`{}`)}, eventschema.ProjectDeleted{ProjectID: "b"})
	kit.Apply("project-c", eventschema.ProjectCreated{ProjectID: "c", Name: "Third", Status: "active", Environment: "prod", Repo: json.RawMessage(`{}`)})

	t.Run("show what became of them", func(t *testing.T) {
		t.Parallel()
		got, found, err := projects.ByID(t.Context(), kit.Pool, "a")
		if err != nil || !found {
			t.Fatal(found, err)
		}
		want := projects.Project{
			ID: "a", Position: int64(a[0].Position.Commit), Revision: 1, Name: "Shop 2", Description: "d", Status: "Archived", Environment: "dev",
			Repo: json.RawMessage(`{"n":12345678901234567890}`), Sessions: 1, CreatedAt: a[0].Meta.At, UpdatedAt: a[2].Meta.At,
		}
		if d := cmp.Diff(want, got, sameInstant); d != "" {
			t.Fatal(d)
		}
	})
	t.Run("are gone once deleted", func(t *testing.T) {
		t.Parallel()
		if _, found, err := projects.ByID(t.Context(), kit.Pool, "b"); err != nil || found {
			t.Fatal(found, err)
		}
		if n, err := projects.Count(t.Context(), kit.Pool); err != nil || n != 2 {
			t.Fatal(n, err)
		}
	})
	t.Run("are listed by filter, cursor and limit", func(t *testing.T) {
		t.Parallel()
		for name, tc := range map[string]struct {
			filter projects.Filter
			cursor int64
			limit  int
			want   []string
		}{
			"all":            {limit: 10, want: []string{"a", "c"}},
			"first":          {limit: 1, want: []string{"a"}},
			"after":          {cursor: int64(a[0].Position.Commit), limit: 10, want: []string{"c"}},
			"name":           {filter: projects.Filter{Name: "SHOP"}, limit: 10, want: []string{"a"}},
			"percent is not": {filter: projects.Filter{Name: "%"}, limit: 10, want: []string{}},
			"status":         {filter: projects.Filter{Status: "aRCHIVED"}, limit: 10, want: []string{"a"}},
			"environment":    {filter: projects.Filter{Environment: "PROD"}, limit: 10, want: []string{"c"}},
		} {
			list, err := projects.List(t.Context(), kit.Pool, tc.filter, tc.cursor, tc.limit)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, p := range list {
				got = append(got, p.ID)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("%s: %s", name, d)
			}
		}
	})
}

var sameInstant = cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
