package commands_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
)

func TestARunIsRecordedStepByStep(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.session("")
	run := r.run(id)
	x := r.execute(id, run)
	ctx := t.Context()
	if err := errors.Join(x.Ask(ctx, []byte("prompt")), x.Output(ctx, "Be"), x.Complete(ctx, "cause.", "Because.", eventschema.Usage{})); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"session.created", "message.posted", "run.requested", "run.started", "run.step_requested",
		"run.output_appended", "run.output_appended", "message.posted", "run.completed",
	}
	if got := r.names("session-" + id); !slices.Equal(got, want) {
		t.Fatalf("the journal holds\n%q, want\n%q", got, want)
	}
	records := r.records("session-" + id)
	step := decoded[eventschema.RunStepRequested](t, records[4])
	answer := decoded[eventschema.MessagePosted](t, records[7])
	end := decoded[eventschema.RunCompleted](t, records[8])
	if step.Digest == "" || strings.Contains(step.Digest, "prompt") || step.Step != 1 || x.Attempt() != 1 {
		t.Errorf("the step is %+v of attempt %d", step, x.Attempt())
	}
	if answer.MessageID != step.MessageID || end.MessageID != step.MessageID || answer.RunID != run || answer.Role != "assistant" {
		t.Errorf("the answer is %+v, the end %+v", answer, end)
	}
	if string(answer.Content) != `[{"text":"Because.","type":"text"}]` || end.Summary != "Because." {
		t.Errorf("the answer says %s, the end %q", answer.Content, end.Summary)
	}
	t.Run("and can be answered in turn", func(t *testing.T) {
		if _, err := r.StartRun(r.someone(), newRun(id, answer.MessageID)); err != nil {
			t.Error(err)
		}
	})
}

func TestASummaryIsCutBetweenRunes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.session("")
	x := r.execute(id, r.run(id))
	if err := x.Complete(t.Context(), "", strings.Repeat("é", 2500), eventschema.Usage{}); err != nil {
		t.Fatal(err)
	}
	records := r.records("session-" + id)
	if end := decoded[eventschema.RunCompleted](t, records[len(records)-1]); end.Summary != strings.Repeat("é", 2000) {
		t.Errorf("the summary has %d bytes", len(end.Summary))
	}
}

// Whoever begins last has the run: what an earlier attempt says is refused, also
// when it runs on another node.
func TestAttemptsFenceEachOther(t *testing.T) {
	t.Parallel()
	a := newRig(t)
	b := rigOn(t, a.log)
	id := a.session("")
	run := a.run(id)
	one := a.execute(id, run)
	ctx := t.Context()
	if err := errors.Join(one.Ask(ctx, nil), one.Output(ctx, "half an")); err != nil {
		t.Fatal(err)
	}
	unfinished := one.MessageID
	two := b.execute(id, run)
	for name, say := range map[string]func() error{
		"ask":      func() error { return one.Ask(ctx, nil) },
		"output":   func() error { return one.Output(ctx, "x") },
		"complete": func() error { return one.Complete(ctx, "", "x", eventschema.Usage{}) },
		"fail":     func() error { return one.Fail(ctx, "run_failed", "x") },
	} {
		if err := say(); !errors.Is(err, commands.ErrSuperseded) {
			t.Errorf("the first attempt may still %s: %v", name, err)
		}
	}
	if err := errors.Join(two.Ask(ctx, nil), two.Complete(ctx, "", "whole", eventschema.Usage{})); err != nil {
		t.Fatal(err)
	}
	records := a.records("session-" + id)
	names := a.names("session-" + id)
	i := slices.Index(names, "run.output_superseded")
	if i < 0 || decoded[eventschema.RunOutputSuperseded](t, records[i]).MessageID != unfinished || two.Attempt() != 2 {
		t.Errorf("attempt %d took nothing back: %q", two.Attempt(), names)
	}
	if n := len(slices.DeleteFunc(names, func(n string) bool { return n != "run.completed" })); n != 1 {
		t.Errorf("the run ended %d times", n)
	}
	_, err := b.Execute(ctx, a.requested(id, run), "n")
	refused(t, err, commands.ErrSuperseded)
}

func TestACanceledRunIsOver(t *testing.T) {
	t.Parallel()
	a := newRig(t)
	b := rigOn(t, a.log)
	id := a.session("")
	run := a.run(id)
	x := a.execute(id, run)
	if err := x.Ask(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	must(b.CancelRun(b.someone(), run))(t)
	refused(t, x.Output(t.Context(), "late"), commands.ErrSuperseded)
	refused(t, x.Complete(t.Context(), "", "late", eventschema.Usage{}), commands.ErrSuperseded)
	if names := a.names("session-" + id); names[len(names)-1] != "run.canceled" {
		t.Errorf("the journal ends with %q", names)
	}
	if again := must(a.CancelRun(a.someone(), run))(t); len(again.Events) != 0 {
		t.Errorf("canceled again: %q", again.Types())
	}
}

// A failure is two events in one append: why, and that it is over.
func TestAFailedRunSaysWhy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.session("")
	x := r.execute(id, r.run(id))
	if err := x.Fail(t.Context(), "run_failed", "The provider refused."); err != nil {
		t.Fatal(err)
	}
	records := r.records("session-" + id)
	why := decoded[eventschema.RunErrored](t, records[len(records)-2])
	end := decoded[eventschema.RunFailed](t, records[len(records)-1])
	if why.Code != "run_failed" || why.Message != "The provider refused." || end.Code != "run_failed" {
		t.Errorf("%+v, %+v", why, end)
	}
}

// The conversation is what stood before the request, newest first, and is read no
// further back than necessary.
func TestAConversationGoesBackFromItsRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.session("")
	r.fill(id, 600)
	r.message(id, "last")
	run := r.run(id) // posts a message of its own
	r.message(id, "too late")
	x := r.execute(id, run)
	texts := func(n int) []string {
		var all []string
		if err := x.Conversation(t.Context(), func(m eventschema.MessagePosted) bool {
			var content []struct{ Text string }
			if err := json.Unmarshal(m.Content, &content); err != nil {
				t.Fatal(err)
			}
			all = append(all, content[0].Text)
			return len(all) < n
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if got := texts(3); !slices.Equal(got, []string{"why?", "last", "hello"}) {
		t.Errorf("the conversation is %q", got)
	}
	if got := texts(10_000); len(got) != 602 {
		t.Errorf("the whole conversation has %d messages", len(got))
	}
}

func TestOnlyARequestAsksForARun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.session("")
	r.run(id)
	if _, err := r.Execute(t.Context(), r.records("session-" + id)[1], "n"); err == nil {
		t.Error("a message was carried out")
	}
}
