package conformance

func readings() []Behaviour {
	return []Behaviour{
		{"a stream is read both ways from any revision, inclusively", streamReadings},
		{"a stream that was never written is not found", absentStream},
		{"a reading is of what was there when it began, whatever its length", longReading},
	}
}

func streamReadings(t *Trial) {
	stream := t.stream("s")
	t.say(t.stream("other"), "x")
	t.say(stream, "a", "b", "c")
	for name, c := range map[string]struct {
		read Read
		want []string
	}{
		"forwards":                    {Read{Count: Everything}, []string{"0:a", "1:b", "2:c"}},
		"forwards from 1":             {Read{From: AtRevision(1), Count: 1}, []string{"1:b"}},
		"forwards past the end":       {Read{From: AtRevision(3), Count: Everything}, nil},
		"forwards from the end":       {Read{From: AtEnd(), Count: Everything}, nil},
		"backwards":                   {Read{From: AtEnd(), Backwards: true, Count: 2}, []string{"2:c", "1:b"}},
		"backwards from 1":            {Read{From: AtRevision(1), Backwards: true, Count: Everything}, []string{"1:b", "0:a"}},
		"backwards from past the end": {Read{From: AtRevision(99), Backwards: true, Count: 1}, []string{"2:c"}},
		"backwards from the start":    {Read{Backwards: true, Count: Everything}, []string{"0:a"}},
	} {
		t.wantShown(name, t.read(stream, c.read), c.want...)
	}
}

func absentStream(t *Trial) {
	for name, r := range map[string]Read{
		"forwards": {Count: 1}, "backwards": {From: AtEnd(), Backwards: true, Count: 1}, "from 5": {From: AtRevision(5), Count: 1},
	} {
		_, err := t.Read(t.ctx, t.stream("new"), r)
		t.wantError(name, err, ErrNotFound)
	}
}

func longReading(t *Trial) {
	const count = 3000
	stream := t.stream("s")
	batch := make([]Event, 500)
	for range count / len(batch) {
		for i := range batch {
			batch[i] = event("x")
		}
		t.append(stream, Any, batch...)
	}
	for name, r := range map[string]Read{"forwards": {Count: Everything}, "backwards": {From: AtEnd(), Backwards: true, Count: Everything}} {
		got := t.read(stream, r)
		if len(got) != count {
			t.Fatalf("%s: %d events of %d", name, len(got), count)
		}
		for i, e := range got {
			want := uint64(i)
			if r.Backwards {
				want = count - 1 - want
			}
			if e.Event.Revision != want {
				t.Fatalf("%s: event %d has revision %d", name, i, e.Event.Revision)
			}
		}
	}
}

func logReadings() []Behaviour {
	return []Behaviour{
		{"the log is read forwards inclusively and backwards exclusively", logReading},
		{"the log has nothing after its end, and nothing before its start", logEnds},
		{"the log is in the order in which appends were answered", logOrder},
	}
}

func logReading(t *Trial) {
	first := t.say(t.stream("s"), "a").Position
	middle := t.say(t.stream("t"), "b").Position
	t.say(t.stream("s"), "c")
	forwards := func(from Place) []Resolved { return t.mine(t.read(All, Read{From: from, Count: Everything})) }
	t.wantShown("forwards", forwards(AtPosition(first)), "0:a", "0:b", "1:c")
	t.wantShown("forwards from the middle", forwards(AtPosition(middle)), "0:b", "1:c")
	t.wantShown("backwards", t.back(AtEnd(), first), "1:c", "0:b", "0:a")
	t.wantShown("backwards from the middle", t.back(AtPosition(middle), first), "0:a")
	if got := t.read(All, Read{From: AtPosition(middle), Count: 1}); len(got) != 1 || got[0].Event.Position != middle {
		t.Errorf("one forwards: got %v", got)
	}
}

func logEnds(t *Trial) {
	t.say(t.stream("s"), "a")
	t.wantShown("forwards from the end", t.mine(t.read(All, Read{From: AtEnd(), Count: Everything})))
	t.wantShown("backwards from the start", t.read(All, Read{Backwards: true, Count: Everything}))
}

func logOrder(t *Trial) {
	from := t.say(t.stream("s"), "0").Position
	last := from
	for _, text := range []string{"1", "2", "3", "4"} {
		p := t.say(t.stream(text), text).Position
		if !last.Before(p) {
			t.Errorf("%+v was answered after %+v", p, last)
		}
		last = p
	}
	t.wantShown("the log", t.mine(t.read(All, Read{From: AtPosition(from), Count: Everything})), "0:0", "0:1", "0:2", "0:3", "0:4")
}
