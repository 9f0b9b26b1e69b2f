package commands

import (
	"strings"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/domain/login"
	"github.com/g4fagent/g4fagent/domain/project"
	"github.com/g4fagent/g4fagent/domain/session"
	"github.com/g4fagent/g4fagent/domain/settings"
	"github.com/g4fagent/g4fagent/domain/user"
	"github.com/g4fagent/g4fagent/eventschema"
)

// A state weighs at least what it holds, and not a multiple of it.
func TestAStateWeighsWhatItHolds(t *testing.T) {
	t.Parallel()
	const held = 100 << 10
	large := strings.Repeat("x", held)
	list := project.State{}
	for range held / idWeight {
		list = list.Evolve(eventschema.ProjectSessionAdded{Session: eventschema.SessionCreated{SessionID: "sess_1"}}, 1)
	}
	runs := session.State{}
	for range 100 {
		runs.Runs = append(runs.Runs, session.Run{ID: large[:900], MessageID: large[:100]})
	}
	var keys *keyRing
	for i := range held / keyWeight {
		keys = &keyRing{revision: int64(i), older: keys, n: keys.len() + 1}
	}
	for name, weight := range map[string]uint32{
		"a memory":       weigh(folded[session.State]{State: session.State{Memory: []byte(large)}}),
		"a title":        weigh(folded[session.State]{State: session.State{Title: large}}),
		"tags":           weigh(folded[session.State]{State: session.State{Tags: []string{large[:held/2], large[:held/2]}}}),
		"runs":           weigh(folded[session.State]{State: runs}),
		"sessions":       weigh(folded[project.State]{State: list}),
		"API keys":       weigh(folded[user.State]{State: user.State{Keys: map[string]string{"k": large}}}),
		"settings":       weigh(folded[settings.State]{State: settings.State{Settings: []byte(large)}}),
		"keyed commands": weigh(folded[login.State]{Keys: keys}),
	} {
		if weight < held*9/10 || weight > held*3/2 {
			t.Errorf("%s of %d bytes weighs %d", name, held, weight)
		}
	}
	if weight := weigh(folded[login.State]{State: login.State{SpentAt: time.Now(), Expires: time.Now()}}); weight != baseWeight {
		t.Errorf("nearly nothing weighs %d", weight)
	}
}
