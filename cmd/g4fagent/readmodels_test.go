package main_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
)

// An event that stops a read model is shown where an operator looks, and left out
// only when the operator says so.
func TestAnOperatorGetsAReadModelPastAnEvent(t *testing.T) {
	t.Parallel()
	database := postgrestest.URL(t)
	s := newServer(t)
	s.env = []string{"DATABASE_URL=" + database}
	s.start()
	c := s.login()
	session := c.session(c.project())
	db, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	exec := func(sql string) {
		t.Helper()
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`alter table messages_v1 add constraint broken check (role <> 'system') not valid`)
	exec(`insert into projection_checkpoint values ('old_v1', 0, 0, '', '', null)`)
	lagging := c.must("POST", "/sessions/"+session+"/messages", "", map[string]any{"role": "system", "content": []any{}}, nil)
	if lagging.header.Get("X-Read-Model") != "lagging" {
		t.Errorf("a write that no read model shows is answered with %v", lagging.header)
	}
	var position string
	eventually(t, "health tells where it is stuck", func() bool {
		at := regexp.MustCompile(`is stuck at (\d+)`).FindStringSubmatch(c.check("read_model_messages_v1"))
		if at != nil {
			position = at[1]
		}
		return at != nil
	})
	if ready := s.beside("/readyz"); ready != 200 {
		t.Errorf("readyz %d: taking the node away would not help", ready)
	}
	s.stop()

	operate := func(code int, says string, args ...string) {
		t.Helper()
		got, out, errs := program(t, s.env, append([]string{"readmodels", "--data-dir", s.dir, "--log-level", "error"}, args...)...)
		if got != code || !strings.Contains(out+errs, says) {
			t.Errorf("readmodels %q: exit code %d, want %d and %q\n%s%s", args, got, code, says, out, errs)
		}
	}
	operate(0, "stuck: ")
	operate(0, "left by an earlier version")
	operate(2, "--reason is required", "skip", "messages_v1", "--position", position)
	operate(1, "is not stuck there", "skip", "sessions_v1", "--position", position, "--reason", "a mistake")
	operate(0, "leaves out the event", "skip", "messages_v1", "--position", position, "--reason", "nobody needs it")
	operate(1, "is in use", "drop", "messages_v1")
	operate(0, "is gone", "drop", "old_v1")

	s.start()
	c = s.login()
	eventually(t, "it goes on", func() bool { return c.check("read_model_messages_v1") == "" })
	shown := c.must("POST", "/sessions/"+session+"/messages", "", text("after"), nil)
	if lag := shown.header.Get("X-Read-Model"); lag != "" || len(all[struct{}](c, "/sessions/"+session+"/messages")) != 1 {
		t.Errorf("after that, a message is %q", lag)
	}
	if err := db.Close(t.Context()); err != nil {
		t.Error(err)
	}
	s.stop()
	s.fsck()
	operate(0, "shows the whole log")

	readmodels := func() string {
		t.Helper()
		code, out, errs := program(t, s.env, "readmodels", "--data-dir", s.dir, "--log-level", "error")
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		return out
	}
	s.appendTo("session-none", 0, eventschema.RunOutputAppended{SessionID: "none", ProjectID: "none", Text: "of no read model"}, time.Now())
	if out := readmodels(); strings.Count(out, "shows the whole log") != strings.Count(out, "\n") {
		t.Errorf("behind what means nothing to them, read models are\n%s", out)
	}
	s.appendAt(time.Now(), 0)
	out := readmodels()
	if !regexp.MustCompile(`(?m)^users_v\d+ .* events to show: 1;`).MatchString(out) || !regexp.MustCompile(`(?m)^messages_v\d+ .* shows the whole log`).MatchString(out) {
		t.Errorf("behind what concerns some of them, read models are\n%s", out)
	}
}
