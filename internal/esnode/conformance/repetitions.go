package conformance

func repetitions() []Behaviour {
	return []Behaviour{
		{"an append that is repeated at its revision has its first answer, for ever", exactRepeats},
		{"an append that repeats only a part of another is a conflict", partialRepeats},
		{"an append without a revision is recognised by its ids", anyRepeats},
		{"an event's id in another stream is another event", idsAreOfStreams},
	}
}

func exactRepeats(t *Trial) {
	stream := t.stream("s")
	sent := events("a", "b")
	first := t.append(stream, NoStream, sent...)
	if again := t.append(stream, NoStream, sent...); again != first {
		t.Errorf("at once: got %+v, want %+v", again, first)
	}
	t.say(stream, "c")
	t.say(t.stream("other"), "x")
	if again := t.append(stream, NoStream, sent...); again != first {
		t.Errorf("after more: got %+v, want %+v", again, first)
	}
	if again := t.append(stream, 0, sent[1]); again != first {
		t.Errorf("its end, at its revision: got %+v, want %+v", again, first)
	}
	if again := t.append(stream, NoStream, sent[0]); again.Revision != 0 || !again.Position.Before(first.Position) && again.Position != first.Position {
		t.Errorf("its beginning: got %+v, the whole was %+v", again, first)
	}
	t.wantStream(stream, "0:a", "1:b", "2:c")
}

func partialRepeats(t *Trial) {
	stream := t.stream("s")
	sent := events("a", "b")
	t.append(stream, NoStream, sent...)
	for name, c := range map[string]struct {
		expected Expected
		events   []Event
	}{
		"another first":        {NoStream, []Event{event("x"), sent[1]}},
		"another second":       {NoStream, []Event{sent[0], event("x")}},
		"one past the end":     {NoStream, []Event{sent[0], sent[1], event("x")}},
		"the order turned":     {NoStream, []Event{sent[1], sent[0]}},
		"at another revision":  {0, sent},
		"past the end, at one": {0, []Event{sent[1], event("x")}},
	} {
		_, err := t.Append(t.ctx, stream, c.expected, c.events...)
		t.wantError(name, err, ErrConflict)
	}
	t.wantStream(stream, "0:a", "1:b")
}

func anyRepeats(t *Trial) {
	for name, expected := range map[string]Expected{"any": Any, "exists": StreamExists} {
		stream := t.stream(name)
		t.say(stream, "0")
		sent := events("a", "b")
		first := t.append(stream, expected, sent...)
		t.say(stream, "c")
		if again := t.append(stream, expected, sent...); again != first {
			t.Errorf("%s: got %+v, want %+v", name, again, first)
		}
		_, err := t.Append(t.ctx, stream, expected, sent[0], event("x"))
		t.wantError(name+", in part", err, ErrConflict)
		t.wantStream(stream, "0:0", "1:a", "2:b", "3:c")
	}
}

func idsAreOfStreams(t *Trial) {
	e := event("a")
	first := t.append(t.stream("one"), Any, e)
	second := t.append(t.stream("two"), Any, e)
	if !first.Position.Before(second.Position) {
		t.Errorf("%+v does not come after %+v", second, first)
	}
	t.wantStream(t.stream("one"), "0:a")
	t.wantStream(t.stream("two"), "0:a")
}
