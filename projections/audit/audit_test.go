package audit_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections/audit"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
)

func by(actor, project string, e eventschema.Event) eventschema.Event {
	return projectiontest.With(e, func(r *eventlog.Record) { r.Meta.ActorUserID, r.Meta.ProjectID = actor, project })
}

func TestAudit(t *testing.T) {
	t.Parallel()
	kit := projectiontest.Start(t, audit.Projector())
	records := kit.Apply("project-p",
		by("ana", "p", eventschema.ProjectCreated{ProjectID: "p", Repo: json.RawMessage(`{}`)}),
		by("ben", "p", eventschema.ProjectDeleted{ProjectID: "p"}),
	)
	kit.Apply("session-s",
		by("ana", "q", eventschema.RunOutputAppended{SessionID: "s", ProjectID: "q", Text: "passive: not audited"}),
		by("ana", "q", eventschema.SessionClosed{SessionID: "s", ProjectID: "q"}),
	)
	list := func(f audit.Filter, cursor int64, limit int) string {
		t.Helper()
		rows, err := audit.List(t.Context(), kit.Pool, f, cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		var s strings.Builder
		for _, a := range rows {
			fmt.Fprintf(&s, "%s@%d ", a.Stream, a.Revision)
		}
		return s.String()
	}
	at := func(i int, d time.Duration) *time.Time { t := records[i].Meta.At.Add(d); return &t }
	for _, tc := range []struct {
		name, got, want string
	}{
		{"all but passive events", list(audit.Filter{}, 0, 10), "project-p@0 project-p@1 session-s@1 "},
		{"limit", list(audit.Filter{}, 0, 1), "project-p@0 "},
		{"cursor", list(audit.Filter{}, int64(records[0].Position.Commit), 10), "project-p@1 session-s@1 "},
		{"type", list(audit.Filter{Type: "project.deleted"}, 0, 10), "project-p@1 "},
		{"types are exact", list(audit.Filter{Type: "Project.deleted"}, 0, 10), ""},
		{"project", list(audit.Filter{ProjectID: "q"}, 0, 10), "session-s@1 "},
		{"project and type", list(audit.Filter{ProjectID: "p", Type: "project.created"}, 0, 10), "project-p@0 "},
		{"actor", list(audit.Filter{Actor: "ben"}, 0, 10), "project-p@1 "},
		{"from is inclusive", list(audit.Filter{From: at(1, 0)}, 0, 10), "project-p@1 session-s@1 "},
		{"to is exclusive", list(audit.Filter{To: at(1, 0)}, 0, 10), "project-p@0 "},
		{"from and to", list(audit.Filter{From: at(0, time.Millisecond), To: at(1, time.Millisecond)}, 0, 10), "project-p@1 "},
		{"from the future", list(audit.Filter{From: at(1, 24*time.Hour)}, 0, 10), ""},
		{"to the past", list(audit.Filter{To: at(0, -24*time.Hour)}, 0, 10), ""},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, tc.got, tc.want)
		}
	}
}
