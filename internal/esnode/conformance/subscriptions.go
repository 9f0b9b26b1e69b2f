package conformance

func subscriptions() []Behaviour {
	return []Behaviour{
		{"a subscription to a stream begins after a revision, says when it has caught up, and goes on", followStream},
		{"a subscription to a stream waits for one that is not there", followAbsent},
		{"a subscription past the end waits for what comes after its place", followPastEnd},
		{"a subscription from the end gives only what is new", followFromEnd},
		{"a subscription to the log begins after a position", followLog},
		{"a filter chooses by type or by stream, by prefixes or by an expression", followFiltered},
		{"the filter that leaves out the server's own events does so", followWithoutSystem},
		{"a subscription ends with its stream's tombstone", followToTombstone},
		{"a slow subscriber is not dropped and misses nothing", followSlowly},
		{"a closed subscription ends", followClosed},
	}
}

const caughtUp = string(CaughtUp)

func followStream(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a", "b", "c")
	all, rest := t.follow(stream, Subscribe{}), t.follow(stream, Subscribe{From: AtRevision(0)})
	all.want("0:a", "1:b", "2:c", caughtUp)
	rest.want("1:b", "2:c", caughtUp)
	t.say(t.stream("other"), "x")
	t.say(stream, "d", "e")
	all.want("3:d", "4:e")
	rest.want("3:d", "4:e")
}

func followAbsent(t *Trial) {
	stream := t.stream("s")
	f := t.follow(stream, Subscribe{})
	f.want(caughtUp)
	t.say(stream, "a")
	f.want("0:a")
}

func followPastEnd(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a")
	f := t.follow(stream, Subscribe{From: AtRevision(2)})
	f.want(caughtUp)
	t.say(stream, "b", "c", "d")
	f.want("3:d")
}

func followFromEnd(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a")
	for _, source := range []string{stream, All} {
		f := t.follow(source, Subscribe{From: AtEnd()})
		f.want(caughtUp)
		r := t.say(stream, "b")
		if m := f.next(); m.Kind != Appeared || m.Resolved.Event.Revision != r.Revision {
			t.Errorf("%s: got %q, want revision %d", source, m.text(), r.Revision)
		}
	}
}

func followLog(t *Trial) {
	first := t.say(t.stream("s"), "a").Position
	t.say(t.stream("t"), "b")
	f := t.follow(All, Subscribe{From: AtPosition(first)})
	f.want("0:b", caughtUp)
	t.say(t.stream("s"), "c")
	f.want("1:c")
}

func followFiltered(t *Trial) {
	from := t.say(t.stream("before"), "x").Position
	kind := t.prefix + "kind"
	typed := func(name, text string) Event {
		e := event(text)
		e.Type = name
		return e
	}
	write := func() {
		t.append(t.stream("a-1"), Any, typed(kind+"-a", "1"))
		t.append(t.stream("b-1"), Any, typed(kind+"-b", "2"))
		t.append(t.stream("c-1"), Any, typed(kind+"-c", "3"))
	}
	write()
	for _, c := range []struct {
		filter Filter
		want   []string
	}{
		{Filter{Prefixes: []string{kind + "-a"}}, []string{"0:1"}},
		{Filter{Prefixes: []string{kind + "-a", kind + "-c"}}, []string{"0:1", "0:3"}},
		{Filter{Regex: "^" + kind + "-[bc]$"}, []string{"0:2", "0:3"}},
		{Filter{ByStream: true, Prefixes: []string{t.stream("b-")}}, []string{"0:2"}},
		{Filter{ByStream: true, Regex: "^" + t.prefix + "[ab]-"}, []string{"0:1", "0:2"}},
		{Filter{ByStream: true, Regex: t.prefix[12:] + "c-"}, []string{"0:3"}},
	} {
		f := t.follow(All, Subscribe{From: AtPosition(from), Filter: &c.filter})
		f.wantEvents(c.want...)
		f.wantEvents(caughtUp)
		f.sub.Close()
	}
	live := t.follow(All, Subscribe{From: AtEnd(), Filter: &Filter{Prefixes: []string{kind + "-b"}}})
	live.wantEvents(caughtUp)
	write()
	live.wantEvents("1:2")
}

func followWithoutSystem(t *Trial) {
	from := t.say(t.stream("before"), "x").Position
	five := uint64(5)
	t.say(t.stream("s"), "a")
	t.setMetadata(t.stream("s"), Metadata{MaxCount: &five})
	t.link(t.stream("links"), "0@"+t.stream("s"))
	t.say(t.stream("s"), "b")
	f := t.follow(All, Subscribe{From: AtPosition(from), Filter: &Filter{Regex: `^[^\$].*`}})
	f.wantEvents("0:a", "1:b", caughtUp)
	t.tombstone(t.stream("s"))
	t.say(t.stream("t"), "c")
	f.wantEvents("0:c")
}

func followToTombstone(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a")
	f := t.follow(stream, Subscribe{})
	f.want("0:a", caughtUp)
	t.tombstone(stream)
	m := f.next()
	if m.Kind != Appeared || m.Resolved.Event.Type != "$streamDeleted" || m.Resolved.Event.Revision != TombstoneRevision {
		t.Fatalf("got %q, want the tombstone", m.text())
	}
	m = f.next()
	if m.Kind != Dropped {
		t.Fatalf("got %q, want its end", m.text())
	}
	t.wantError("its end", m.Err, ErrPrecondition)
}

func followSlowly(t *Trial) {
	const count = 80
	stream := t.stream("s")
	f := t.follow(stream, Subscribe{})
	f.want(caughtUp)
	for range count { // more than the way to a subscriber holds
		e := event("x")
		e.Data = make([]byte, 100_000)
		t.append(stream, Any, e)
	}
	for revision := uint64(0); revision < count; {
		m := f.next()
		if m.Kind == CaughtUp {
			continue
		}
		if m.Kind != Appeared || m.Resolved.Event.Revision != revision {
			t.Fatalf("got %s (%v), want revision %d", m.Kind, m.Err, revision)
		}
		revision++
	}
}

func followClosed(t *Trial) {
	f := t.follow(t.stream("s"), Subscribe{})
	f.want(caughtUp)
	f.sub.Close()
	if m := f.next(); m.Kind != Dropped {
		t.Errorf("got %q", m.text())
	}
}
