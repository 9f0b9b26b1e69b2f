package conformance

func tombstones() []Behaviour {
	return []Behaviour{
		{"a tombstone closes a stream to everything, for ever", tombstoneCloses},
		{"a tombstone is the last event of its stream, and stays in the log", tombstoneIsAnEvent},
		{"a tombstone may close what never was", tombstoneOfNothing},
		{"a tombstone closes a stream that was deleted before", tombstoneOfDeleted},
	}
}

func (t *Trial) wantClosed(stream string) {
	t.Helper()
	five := uint64(5)
	for _, expected := range []Expected{Any, NoStream, StreamExists, 0, 7} {
		_, err := t.Append(t.ctx, stream, expected, event("x"))
		t.wantError("append", err, ErrDeleted)
	}
	_, err := t.Read(t.ctx, stream, Read{Count: 1})
	t.wantError("read", err, ErrDeleted)
	_, err = t.Read(t.ctx, stream, Read{From: AtEnd(), Backwards: true, Count: 1})
	t.wantError("read backwards", err, ErrDeleted)
	_, err = t.Metadata(t.ctx, stream)
	t.wantError("read the metadata", err, ErrDeleted)
	_, err = t.SetMetadata(t.ctx, stream, Any, Metadata{MaxCount: &five})
	t.wantError("set the metadata", err, ErrDeleted)
	_, err = t.Delete(t.ctx, stream, Any)
	t.wantError("delete", err, ErrDeleted)
	_, err = t.Tombstone(t.ctx, stream, Any)
	t.wantError("tombstone", err, ErrDeleted)
	_, err = t.Subscribe(t.ctx, stream, Subscribe{})
	t.wantError("subscribe", err, ErrDeleted)
}

func tombstoneCloses(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a", "b")
	if _, err := t.Tombstone(t.ctx, stream, 1); err != nil {
		t.Fatalf("tombstone: %v", err)
	}
	t.wantClosed(stream)
}

func tombstoneIsAnEvent(t *Trial) {
	stream := t.stream("s")
	from := t.say(stream, "a").Position
	p := t.tombstone(stream)
	got := t.mine(t.read(All, Read{From: AtPosition(from), Count: Everything}))
	if len(got) != 2 {
		t.Fatalf("the log has %d events", len(got))
	}
	t.wantShown("the log", got[:1], "0:a")
	if e := got[1].Event; e.Type != "$streamDeleted" || e.Stream != stream || e.Revision != TombstoneRevision || e.Position != p {
		t.Errorf("at %+v is %+v", p, e)
	}
}

func tombstoneOfNothing(t *Trial) {
	for name, expected := range map[string]Expected{"any": Any, "no stream": NoStream} {
		stream := t.stream(name)
		if _, err := t.Tombstone(t.ctx, stream, expected); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.wantClosed(stream)
	}
}

func tombstoneOfDeleted(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a")
	t.delete(stream)
	t.tombstone(stream)
	t.wantClosed(stream)
}
