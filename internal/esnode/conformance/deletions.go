package conformance

func deletions() []Behaviour {
	return []Behaviour{
		{"a deleted stream is not found until it begins anew, where it stopped", deletedBeginsAnew},
		{"a deletion is an event of the stream's metadata", deletionIsMetadata},
		{"a deleted stream takes no append that expects it to exist", deletedDoesNotExist},
		{"a deletion of what is not there, or is elsewhere, is a failed precondition", deletionExpects},
		{"a deleted stream's events stay in the log", deletedStaysInLog},
		{"a subscription to a deleted stream waits for it to begin anew", deletedIsAwaited},
	}
}

func deletedBeginsAnew(t *Trial) {
	for name, expected := range map[string]Expected{"any": Any, "no stream": NoStream, "its old revision": 1} {
		stream := t.stream(name)
		t.say(stream, "a", "b")
		if _, err := t.Delete(t.ctx, stream, 1); err != nil {
			t.Fatalf("delete: %v", err)
		}
		_, err := t.Read(t.ctx, stream, Read{Count: Everything})
		t.wantError("forwards", err, ErrNotFound)
		_, err = t.Read(t.ctx, stream, Read{From: AtEnd(), Backwards: true, Count: 1})
		t.wantError("backwards", err, ErrNotFound)
		if r := t.append(stream, expected, event("c")); r.Revision != 2 {
			t.Errorf("%s: the next event has revision %d", name, r.Revision)
		}
		t.wantStream(stream, "2:c")
		m, err := t.Metadata(t.ctx, stream)
		if err != nil || m.TruncateBefore == nil || *m.TruncateBefore != 2 {
			t.Errorf("%s: the metadata is %+v, %v", name, m, err)
		}
	}
}

func deletionIsMetadata(t *Trial) {
	stream, five := t.stream("s"), uint64(5)
	t.say(stream, "a")
	t.setMetadata(stream, Metadata{MaxCount: &five})
	p := t.delete(stream)
	e := t.read(All, Read{From: AtPosition(p), Count: 1})[0].Event
	if e.Type != "$metadata" || e.Stream != "$$"+stream || e.Position != p || !e.JSON || string(e.Data) != `{"$tb":9223372036854775807}` {
		t.Errorf("at its position is %+v: %s", e, e.Data)
	}
	if m, err := t.Metadata(t.ctx, stream); err != nil || m.TruncateBefore == nil || m.MaxCount != nil {
		t.Errorf("the metadata is %+v, %v", m, err)
	}
}

func deletedDoesNotExist(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a")
	t.delete(stream)
	_, err := t.Append(t.ctx, stream, StreamExists, event("b"))
	t.wantError("stream exists", err, ErrDeleted)
	_, err = t.Append(t.ctx, stream, 5, event("b"))
	t.wantError("a revision past its last", err, ErrConflict)
}

func deletionExpects(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a")
	for name, remove := range map[string]func(string, Expected) error{
		"delete":    func(s string, e Expected) error { _, err := t.Delete(t.ctx, s, e); return err },
		"tombstone": func(s string, e Expected) error { _, err := t.Tombstone(t.ctx, s, e); return err },
	} {
		t.wantError(name+" elsewhere", remove(stream, 5), ErrPrecondition)
		t.wantError(name+" of no stream", remove(stream, NoStream), ErrPrecondition)
		t.wantError(name+" of what should exist", remove(t.stream("new"), StreamExists), ErrPrecondition)
	}
	_, err := t.Delete(t.ctx, t.stream("new"), Any)
	t.wantError("delete of what is not there", err, ErrPrecondition)
	t.wantStream(stream, "0:a")
}

func deletedStaysInLog(t *Trial) {
	stream := t.stream("s")
	from := t.say(stream, "a").Position
	t.say(stream, "b")
	t.delete(stream)
	var kept []Resolved
	for _, r := range t.mine(t.read(All, Read{From: AtPosition(from), Count: Everything})) {
		if r.Event.Stream == stream {
			kept = append(kept, r)
		}
	}
	t.wantShown("the log", kept, "0:a", "1:b")
}

func deletedIsAwaited(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a")
	t.delete(stream)
	f := t.follow(stream, Subscribe{})
	f.want(string(CaughtUp))
	t.append(stream, NoStream, event("b"))
	f.want("1:b")
}
