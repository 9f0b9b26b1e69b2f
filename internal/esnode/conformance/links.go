package conformance

import "github.com/google/uuid"

func links() []Behaviour {
	return []Behaviour{
		{"a link is given with its target when links are resolved", linksResolve},
		{"a link is an event like others when links are not resolved", linksAreEvents},
		{"a link is given alone when its target is gone", linksToNothing},
	}
}

func (t *Trial) link(stream, target string) Receipt {
	t.Helper()
	return t.append(stream, Any, Event{ID: uuid.New(), Type: "$>", Data: []byte(target)})
}

func linksResolve(t *Trial) {
	target, stream := t.stream("target"), t.stream("links")
	t.say(target, "a", "b")
	p := t.link(stream, "1@"+target).Position
	resolved := t.read(stream, Read{Count: Everything, ResolveLinks: true})
	resolved = append(resolved, t.read(All, Read{From: AtPosition(p), Count: 1, ResolveLinks: true})...)
	resolved = append(resolved, t.follow(stream, Subscribe{ResolveLinks: true}).next().Resolved)
	if len(resolved) != 3 {
		t.Fatalf("got %d events of 3", len(resolved))
	}
	for i, r := range resolved {
		if r.Event == nil || r.Event.Stream != target || r.Event.Revision != 1 ||
			r.Link == nil || r.Link.Stream != stream || r.Link.Revision != 0 || r.Link.Position != p {
			t.Errorf("%d: got %+v, %+v", i, r.Event, r.Link)
		}
	}
}

func linksAreEvents(t *Trial) {
	target, stream := t.stream("target"), t.stream("links")
	t.say(target, "a")
	t.link(stream, "0@"+target)
	got := t.read(stream, Read{Count: Everything})
	if len(got) != 1 || got[0].Link != nil || got[0].Event.Type != "$>" || string(got[0].Event.Data) != "0@"+target {
		t.Errorf("got %v", got)
	}
}

func linksToNothing(t *Trial) {
	deleted, truncated, closed, stream := t.stream("deleted"), t.stream("truncated"), t.stream("closed"), t.stream("links")
	for _, s := range []string{deleted, truncated, closed} {
		t.say(s, "a")
		t.link(stream, "0@"+s)
	}
	t.link(stream, "7@"+truncated)
	t.link(stream, "0@"+t.stream("new"))
	beyond := uint64(1)
	t.delete(deleted)
	t.setMetadata(truncated, Metadata{TruncateBefore: &beyond})
	t.tombstone(closed)
	got := t.read(stream, Read{Count: Everything, ResolveLinks: true})
	if len(got) != 5 {
		t.Fatalf("got %d events of 5", len(got))
	}
	for i, r := range got {
		if r.Event != nil || r.Link == nil || r.Link.Revision != uint64(i) {
			t.Errorf("%d: got %+v, %+v", i, r.Event, r.Link)
		}
	}
}
