package agent_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
)

// asked is the request that a journal's run leads to.
func asked(t *testing.T, j *journal, o agent.Options) provider.Request {
	t.Helper()
	if err := executor(answering([]step{says("x"), done}), o).Execute(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if len(j.requested) != 1 {
		t.Fatalf("recorded %q", j.said)
	}
	return j.requested[0]
}

func texts(req provider.Request) []string {
	var all []string
	for _, m := range req.Messages {
		all = append(all, m.Role+": "+m.Text)
	}
	return all
}

func TestTheConversation(t *testing.T) {
	t.Parallel()
	t.Run("is all there is, oldest first", func(t *testing.T) {
		t.Parallel()
		req := asked(t, newJournal("one", "two", "three"), agent.Options{})
		want := []string{"user: one", "assistant: two", "user: three"}
		if got := texts(req); !reflect.DeepEqual(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		if req.System != "be brief" || req.Model != "gpt" {
			t.Errorf("system %q, model %q", req.System, req.Model)
		}
	})
	t.Run("ends with the message that the run answers", func(t *testing.T) {
		t.Parallel()
		j := newJournal("one", "two", "three", "four", "five")
		j.run.MessageID = "m3"
		want := []string{"user: one", "assistant: two", "user: three"}
		if got := texts(asked(t, j, agent.Options{})); !reflect.DeepEqual(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
	t.Run("loses its oldest messages when it is too long, without gaps", func(t *testing.T) {
		t.Parallel()
		j := newJournal("short", strings.Repeat("word ", 100), "three", "four", "five")
		want := []string{"user: three", "assistant: four", "user: five"}
		if got := texts(asked(t, j, agent.Options{MaxContextTokens: 100})); !reflect.DeepEqual(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
	t.Run("tells only the roles that providers know", func(t *testing.T) {
		t.Parallel()
		j := newJournal("one", "two", "three")
		j.messages[0].Role, j.messages[1].Role, j.messages[2].Role = " System ", "narrator", "customer"
		want := []string{"system: one", "user: three"}
		if got := texts(asked(t, j, agent.Options{})); !reflect.DeepEqual(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
	t.Run("leaves out what has no text", func(t *testing.T) {
		t.Parallel()
		j := newJournal("one", "two", "three")
		j.messages[1].Content = json.RawMessage(`[]`)
		want := []string{"user: one", "user: three"}
		if got := texts(asked(t, j, agent.Options{})); !reflect.DeepEqual(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

func TestConversationsThatCannotBeAnswered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		change  func(*journal)
		options agent.Options
		want    string
	}{
		{"no such message", func(j *journal) { j.run.MessageID = "msg_elsewhere" }, agent.Options{}, "fail message_not_found"},
		{"no text", func(j *journal) { j.messages[2].Content = json.RawMessage(`[{"type":"audio","url":"x"}]`) }, agent.Options{}, "fail empty_message"},
		{"too long alone", func(j *journal) { j.messages[2] = message("m3", "user", strings.Repeat("word ", 200)) }, agent.Options{MaxContextTokens: 100}, "fail context_too_large"},
		{"instructions too long", func(j *journal) {
			j.run.Agent = json.RawMessage(`{"instructions":"` + strings.Repeat("word ", 200) + `"}`)
		}, agent.Options{MaxContextTokens: 100}, "fail context_too_large"},
		{"senseless limit", func(j *journal) { j.run.Config = json.RawMessage(`{"max_tokens":"many"}`) }, agent.Options{}, "fail invalid_config"},
		{"config that is none", func(j *journal) { j.run.Config = json.RawMessage(`[1]`) }, agent.Options{}, "fail invalid_config"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal("one", "two", "three")
			tt.change(j)
			if err := executor(answering([]step{done}), tt.options).Execute(t.Context(), j); err != nil {
				t.Fatal(err)
			}
			j.mustHaveSaid(t, tt.want)
		})
	}
}

func TestTheConfigBecomesModelParameters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		config string
		server int64
		want   int64
	}{
		{`{}`, 0, 0},
		{`{"max_tokens":500}`, 0, 500},
		{`{"max_tokens":500}`, 200, 200},
		{`{"max_completion_tokens":100,"temperature":0.5}`, 200, 100},
		{`{"max_output_tokens":null}`, 200, 200},
		{``, 200, 200},
	} {
		t.Run(fmt.Sprintf("%s under %d", tt.config, tt.server), func(t *testing.T) {
			t.Parallel()
			j := newJournal("one")
			j.run.Config = nil
			if tt.config != "" {
				j.run.Config = json.RawMessage(tt.config)
			}
			req := asked(t, j, agent.Options{MaxOutputTokens: tt.server})
			if req.MaxOutputTokens != tt.want {
				t.Errorf("max output %d, want %d", req.MaxOutputTokens, tt.want)
			}
			if tt.config != "" && string(req.Params) != tt.config {
				t.Errorf("params %s, want %s", req.Params, tt.config)
			}
		})
	}
}

func TestPartsOfAMessage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, content, want string }{
		{"text and code", `[{"type":"text","text":"look"},{"type":"code","text":"a := 1","language":"go"}]`, "look\na := 1"},
		{"text is the default", `[{"text":"look"}]`, "look"},
		{"json is itself", `[{"type":"json","json":{"n":12345678901234567890}}]`, `{"n":12345678901234567890}`},
		{"json under another name", `[{"type":"json","data":[1]}]`, `[1]`},
		{"a picture", `[{"type":"image","url":"https://x/y.png"}]`, "[image] https://x/y.png"},
		{"a picture as OpenAI writes it", `[{"type":"image","image_url":{"url":"https://x"}}]`, "[image] https://x"},
		{"a picture within", `[{"type":"image","url":"data:image/png;base64,AAAA"}]`, "[image] data:image/png;base64"},
		{"references", `[{"type":"diff_ref","diff_id":"diff_1"},{"type":"tool_call","name":"lint","id":"c1"},{"type":"tool_result","tool_call_id":"c1","output":"secret"}]`, "[diff_ref] diff_1\n[tool_call] lint c1\n[tool_result] c1"},
		{"unknown kinds and odd parts", `[{"type":"audio","text":"x"},5,"plain",null,{"type":"text","text":"y"}]`, "y"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal("one")
			j.messages[0].Content = json.RawMessage(tt.content)
			req := asked(t, j, agent.Options{})
			if got := req.Messages[0].Text; got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
