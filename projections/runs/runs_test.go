package runs_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
	"github.com/g4fagent/g4fagent/projections/runs"
)

func requested(id, project string) eventschema.RunRequested {
	return eventschema.RunRequested{
		SessionID: "s", ProjectID: project, RunID: id, MessageID: "m", Mode: "chat",
		Agent: json.RawMessage(`{}`), Input: json.RawMessage(`{}`), Config: json.RawMessage(`{}`),
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	kit := projectiontest.Start(t, runs.Projector())
	get := func(id string) runs.Run {
		t.Helper()
		r, found, err := runs.ByID(t.Context(), kit.Pool, id)
		if err != nil || !found {
			t.Fatal(id, found, err)
		}
		return r
	}
	first := kit.Apply("session-s", requested("done", "p"), requested("failed", "p"), requested("canceled", "p"), requested("other", "q"))
	if r := get("done"); r.Status != "queued" || r.Progress != 0 || r.EndedAt != nil || !r.StartedAt.Equal(first[0].Meta.At) {
		t.Errorf("queued: %+v", r)
	}
	started := kit.Apply("session-s", eventschema.RunAttemptStarted{SessionID: "s", ProjectID: "p", RunID: "done", Attempt: 1, Node: "n"})
	if r := get("done"); r.Status != "running" || r.Progress != 0.05 || !r.StartedAt.Equal(started[0].Meta.At) {
		t.Errorf("running: %+v", r)
	}
	ended := kit.Apply("session-s",
		eventschema.RunCompleted{SessionID: "s", ProjectID: "p", RunID: "done", MessageID: "a", Summary: "sum", Usage: eventschema.Usage{InputTokens: new(int64(3))}},
		eventschema.RunErrored{SessionID: "s", RunID: "failed", Code: "provider_unreachable", Message: "away"},
		eventschema.RunFailed{SessionID: "s", ProjectID: "p", RunID: "failed", Code: "provider_unreachable"},
		eventschema.RunCanceled{SessionID: "s", ProjectID: "p", RunID: "canceled"},
	)
	done := get("done")
	if done.Status != "completed" || done.Progress != 1 || done.MessageID != "a" || done.Summary != "sum" || *done.InputTokens != 3 ||
		done.OutputTokens != nil || !done.EndedAt.Equal(ended[0].Meta.At) || *done.Ended != ended[0].Revision {
		t.Errorf("completed: %+v", done)
	}
	if r := get("failed"); r.Status != "failed" || r.ErrorCode != "provider_unreachable" || r.ErrorMessage != "away" {
		t.Errorf("failed: %+v", r)
	}
	if r := get("canceled"); r.Status != "canceled" || r.EndedAt == nil {
		t.Errorf("canceled: %+v", r)
	}
	// The window slides: what is older than its start does not count.
	for after, want := range map[time.Time]int{first[0].Meta.At.Add(-time.Second): 3, first[0].Meta.At: 2, first[2].Meta.At: 0} {
		counts, err := runs.CountSince(t.Context(), kit.Pool, []string{"p", "nobody"}, after)
		if err != nil || counts["p"] != want || counts["q"] != 0 {
			t.Errorf("after %s: %v, want %d (%v)", after, counts, want, err)
		}
	}
	kit.Apply("project-p", eventschema.ProjectDeleted{ProjectID: "p"})
	if _, found, err := runs.ByID(t.Context(), kit.Pool, "done"); found || err != nil {
		t.Error("a deleted project has runs", err)
	}
}
