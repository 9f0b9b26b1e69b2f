package conformance

import (
	"math"
	"slices"
	"strconv"
)

func checkpoints() []Behaviour {
	return []Behaviour{
		{"a filtered subscription passes checkpoints, which lie between its events", checkpointsLieBetween},
		{"a filtered subscription resumes from every checkpoint, without gap or repetition", checkpointsResume},
		{"a filtered subscription has checkpoints also while it is live and nothing matches", checkpointsWhileLive},
	}
}

// unseen is the checkpoint of a server that has not considered anything yet. It
// is no place to resume from.
func unseen(p Position) bool { return p.Commit == math.MaxUint64 }

// mixed writes events of which every fifth matches the filter it gives, which
// passes a checkpoint for every four.
func (t *Trial) mixed(rounds int) (from Position, filter *Filter) {
	t.Helper()
	from = t.say(t.stream("before"), "x").Position
	for i := range rounds {
		t.say(t.stream("no"), "1", "2", "3", "4")
		t.say(t.stream("yes"), strconv.Itoa(i))
	}
	return from, &Filter{ByStream: true, Prefixes: []string{t.stream("yes")}, Window: 2, Interval: 2}
}

// history gives what a subscription sends until it has caught up.
func (f *following) history() []Message {
	f.t.Helper()
	var out []Message
	for {
		m := f.next()
		switch m.Kind {
		case Appeared, Checkpoint:
			out = append(out, m)
		case CaughtUp:
			return out
		default:
			f.t.Fatalf("got %q (%v)", m.text(), m.Err)
		}
	}
}

func checkpointsLieBetween(t *Trial) {
	from, filter := t.mixed(12)
	last, passed := from, 0
	for i, m := range t.follow(All, Subscribe{From: AtPosition(from), Filter: filter}).history() {
		if m.Kind == Appeared {
			if p := m.Resolved.Event.Position; !last.Before(p) {
				t.Errorf("message %d: event at %+v after %+v", i, p, last)
			} else {
				last = p
			}
			continue
		}
		if unseen(m.Position) {
			continue
		}
		if m.Position.Before(last) {
			t.Errorf("message %d: checkpoint %+v after %+v", i, m.Position, last)
		}
		last = m.Position
		passed++
	}
	if passed < 12 {
		t.Errorf("%d checkpoints for 60 events", passed)
	}
}

func checkpointsResume(t *Trial) {
	from, filter := t.mixed(6)
	whole := t.follow(All, Subscribe{From: AtPosition(from), Filter: filter}).history()
	for i, m := range whole {
		place := m.Position
		if m.Kind == Appeared {
			place = m.Resolved.Event.Position
		} else if unseen(place) {
			continue
		}
		f := t.follow(All, Subscribe{From: AtPosition(place), Filter: filter})
		if got, want := appeared(f.history()), appeared(whole[i+1:]); !slices.Equal(got, want) {
			t.Errorf("from message %d (%s): got %q, want %q", i, m.Kind, got, want)
		}
		f.sub.Close()
	}
}

func appeared(messages []Message) []string {
	var out []string
	for _, m := range messages {
		if m.Kind == Appeared {
			out = append(out, m.text())
		}
	}
	return out
}

func checkpointsWhileLive(t *Trial) {
	f := t.follow(All, Subscribe{From: AtEnd(), Filter: &Filter{ByStream: true, Prefixes: []string{t.stream("yes")}, Window: 4, Interval: 1}})
	f.history()
	before := t.say(t.stream("no"), "1").Position
	t.say(t.stream("no"), "2", "3", "4", "5", "6", "7", "8", "9")
	for {
		m := f.next()
		if m.Kind != Checkpoint {
			t.Fatalf("got %q (%v)", m.text(), m.Err)
		}
		if before.Before(m.Position) && !unseen(m.Position) {
			return
		}
	}
}
