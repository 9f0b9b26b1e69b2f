package conformance

import (
	"errors"
	"slices"
	"strconv"
)

func groups() []Behaviour {
	return []Behaviour{
		{"a group gives what was there and what comes", groupGivesAll},
		{"a group of a stream that is not there waits for it", groupWaits},
		{"a group begins where it was told to, whenever its first consumer comes", groupBegins},
		{"a group of the log gives what its filter wants", groupOfLog},
		{"a group resolves links when it is told to", groupResolves},
		{"a group gives a consumer no more than it may have at once", groupHoldsBack},
		{"a group that is not there is not found", groupAbsent},
		{"a group is made once, and takes as many consumers as it may", groupRefuses},
		{"a group is listed, changed and deleted, and may begin anew", groupChanges},
		{"a group shares its events by its strategy", groupShares},
	}
}

// defaults are settings under which an event is tried again a few times.
func (s GroupSettings) defaults() GroupSettings {
	if s.MaxRetries == 0 {
		s.MaxRetries = 5
	}
	if s.Strategy == "" {
		s.Strategy = RoundRobin
	}
	return s
}

// group makes a group. Those of the log have a name of their own, too.
func (t *Trial) group(stream, name string, s GroupSettings) string {
	t.Helper()
	name = t.stream(name)
	if err := t.CreateGroup(t.ctx, stream, name, s.defaults()); err != nil {
		t.Fatalf("create %s of %s: %v", name, stream, err)
	}
	return name
}

func (t *Trial) groupInfo(stream, group string) GroupInfo {
	t.Helper()
	i, err := t.Group(t.ctx, stream, group)
	if err != nil {
		t.Fatalf("look at %s of %s: %v", group, stream, err)
	}
	return i
}

// eventually waits for what a consumer's word brings about, of which nobody is
// told.
func (t *Trial) eventually(what string, holds func() bool) {
	t.Helper()
	for !holds() {
		if t.ctx.Err() != nil {
			t.Fatalf("it does not come about: %s", what)
		}
	}
}

// consuming is a connected consumer.
type consuming struct {
	t *Trial
	Consumer
}

func (t *Trial) consume(stream, group string, buffer int) *consuming {
	t.Helper()
	c, err := t.Consume(t.ctx, stream, group, buffer)
	if err != nil {
		t.Fatalf("connect to %s of %s: %v", group, stream, err)
	}
	t.Cleanup(c.Close)
	return &consuming{t, c}
}

func (c *consuming) next() Delivery {
	c.t.Helper()
	d := c.Next()
	if d.Err != nil {
		c.t.Fatalf("the consumer's connection ended: %v", d.Err)
	}
	return d
}

// take expects events as show gives them.
func (c *consuming) take(want ...string) []Resolved {
	c.t.Helper()
	var out []Resolved
	for _, w := range want {
		d := c.next()
		if got := show(d.Resolved); got != w {
			c.t.Fatalf("got %q, want %q", got, w)
		}
		out = append(out, d.Resolved)
	}
	return out
}

// settle is take that acknowledges each.
func (c *consuming) settle(want ...string) {
	c.t.Helper()
	for _, w := range want {
		c.ack(c.take(w)...)
	}
}

func (c *consuming) ack(events ...Resolved) {
	c.t.Helper()
	if err := c.Ack(events...); err != nil {
		c.t.Fatalf("acknowledge: %v", err)
	}
}

func (c *consuming) nack(action Action, events ...Resolved) {
	c.t.Helper()
	if err := c.Nack(action, events...); err != nil {
		c.t.Fatalf("refuse: %v", err)
	}
}

// dropped waits for the connection's end: what was on its way may come before.
func (c *consuming) dropped() {
	c.t.Helper()
	for c.Next().Err == nil {
	}
}

func groupGivesAll(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a", "b")
	c := t.consume(stream, t.group(stream, "g", GroupSettings{}), 10)
	c.settle("0:a", "1:b")
	t.say(t.stream("other"), "x")
	t.say(stream, "c")
	c.settle("2:c")
}

func groupWaits(t *Trial) {
	stream := t.stream("s")
	c := t.consume(stream, t.group(stream, "g", GroupSettings{}), 10)
	t.say(stream, "a")
	c.settle("0:a")
}

func groupBegins(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a", "b", "c")
	later, end := t.group(stream, "later", GroupSettings{From: AtRevision(1)}), t.group(stream, "end", GroupSettings{From: AtEnd()})
	t.say(stream, "d")
	t.consume(stream, later, 10).settle("1:b", "2:c", "3:d")
	t.consume(stream, end, 10).settle("3:d")
}

func groupOfLog(t *Trial) {
	t.say(t.stream("s-1"), "a")
	t.say(t.stream("t-1"), "b")
	p := t.say(t.stream("s-2"), "c").Position
	filter := &Filter{ByStream: true, Prefixes: []string{t.stream("s-")}, Window: 32, Interval: 1}
	places := map[string]Place{"start": {}, "position": AtPosition(p), "end": AtEnd()}
	for name, from := range places {
		t.group(All, name, GroupSettings{From: from, Filter: filter})
	}
	t.say(t.stream("t-1"), "d")
	t.say(t.stream("s-1"), "e")
	t.consume(All, t.stream("start"), 10).settle("0:a", "0:c", "1:e")
	t.consume(All, t.stream("position"), 10).settle("0:c", "1:e")
	t.consume(All, t.stream("end"), 10).settle("1:e")
	for name := range places {
		if err := t.DeleteGroup(t.ctx, All, t.stream(name)); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
}

func groupResolves(t *Trial) {
	target, stream := t.stream("target"), t.stream("links")
	t.say(target, "a")
	t.link(stream, "0@"+target)
	resolved := t.group(stream, "resolved", GroupSettings{ResolveLinks: true})
	c := t.consume(stream, resolved, 10)
	d := c.next().Resolved
	if d.Event == nil || d.Event.Stream != target || d.Link == nil || d.Link.Stream != stream {
		t.Errorf("got %+v, %+v", d.Event, d.Link)
	}
	c.ack(d) // by the link's id
	t.eventually("the link is settled", func() bool { return t.groupInfo(stream, resolved).InFlight == 0 })
	if d := t.consume(stream, t.group(stream, "plain", GroupSettings{}), 10).next().Resolved; d.Link != nil || d.Event.Type != "$>" {
		t.Errorf("got %+v, %+v", d.Event, d.Link)
	}
}

func groupHoldsBack(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a", "b", "c", "d", "e")
	group := t.group(stream, "g", GroupSettings{})
	c := t.consume(stream, group, 2)
	got := c.take("0:a", "1:b")
	if n := t.groupInfo(stream, group).InFlight; n != 2 {
		t.Errorf("%d events are in flight", n)
	}
	c.ack(got[1])
	c.take("2:c")
}

func groupAbsent(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a")
	settings := GroupSettings{}.defaults()
	t.wantError("update", t.UpdateGroup(t.ctx, stream, "none", settings), ErrNotFound)
	t.wantError("delete", t.DeleteGroup(t.ctx, stream, "none"), ErrNotFound)
	t.wantError("replay", t.ReplayParked(t.ctx, stream, "none", 0), ErrNotFound)
	_, err := t.Group(t.ctx, stream, "none")
	t.wantError("look", err, ErrNotFound)
	_, err = t.Consume(t.ctx, stream, "none", 1)
	t.wantError("connect", err, ErrNotFound)
	_, err = t.StreamGroups(t.ctx, stream)
	t.wantError("list", err, ErrNotFound)
}

func groupRefuses(t *Trial) {
	stream := t.stream("s")
	group := t.group(stream, "g", GroupSettings{MaxConsumers: 1})
	t.wantError("make it again", t.CreateGroup(t.ctx, stream, group, GroupSettings{}.defaults()), ErrExists)
	t.consume(stream, group, 1)
	_, err := t.Consume(t.ctx, stream, group, 1)
	t.wantError("a second consumer", err, ErrPrecondition)
}

func groupChanges(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a", "b")
	one, two := t.group(stream, "g1", GroupSettings{}), t.group(stream, "g2", GroupSettings{})
	listed, err := t.StreamGroups(t.ctx, stream)
	all, allErr := t.AllGroups(t.ctx)
	if errors.Join(err, allErr) != nil || len(listed) != 2 || len(all) < 2 {
		t.Fatalf("listed are %v and %v, %v, %v", listed, all, err, allErr)
	}
	c := t.consume(stream, one, 10)
	c.settle("0:a", "1:b")
	t.eventually("they are settled", func() bool {
		last := t.groupInfo(stream, one).Checkpoint
		return last != nil && *last == 1
	})
	if err := t.UpdateGroup(t.ctx, stream, one, GroupSettings{MaxRetries: 3}.defaults()); err != nil {
		t.Fatalf("update: %v", err)
	}
	c.dropped()
	if n := t.groupInfo(stream, one).MaxRetries; n != 3 {
		t.Errorf("after the update it has %d retries", n)
	}
	t.say(stream, "c")
	c = t.consume(stream, one, 10)
	d := c.next() // the event of the checkpoint may come again
	for show(d.Resolved) == "1:b" {
		c.ack(d.Resolved)
		d = c.next()
	}
	if show(d.Resolved) != "2:c" {
		t.Errorf("after its checkpoint it gives %s", show(d.Resolved))
	}
	if err := t.DeleteGroup(t.ctx, stream, one); err != nil {
		t.Fatalf("delete: %v", err)
	}
	c.dropped()
	_, err = t.Group(t.ctx, stream, one)
	t.wantError("a deleted one", err, ErrNotFound)
	t.consume(stream, t.group(stream, "g1", GroupSettings{}), 10).settle("0:a", "1:b", "2:c")
	t.consume(stream, two, 10).settle("0:a")
}

func groupShares(t *Trial) {
	for strategy, holds := range map[string]func(got [2][]*Recorded) bool{
		RoundRobin:       func(got [2][]*Recorded) bool { return len(got[0]) == 10 && len(got[1]) == 10 },
		DispatchToSingle: func(got [2][]*Recorded) bool { return len(got[0]) == 20 || len(got[1]) == 20 },
		Pinned: func(got [2][]*Recorded) bool {
			return !slices.ContainsFunc(got[0], func(a *Recorded) bool {
				return slices.ContainsFunc(got[1], func(b *Recorded) bool { return a.Stream == b.Stream })
			})
		},
	} {
		if got := t.shared(strategy); !holds(got) {
			t.Errorf("%s: they got %d and %d", strategy, len(got[0]), len(got[1]))
		}
	}
}

// shared tells which of two consumers got which of 20 events of five streams.
func (t *Trial) shared(strategy string) (got [2][]*Recorded) {
	t.Helper()
	prefix := t.stream(strategy)
	filter := &Filter{ByStream: true, Prefixes: []string{prefix}, Window: 32, Interval: 1}
	group := t.group(All, "shared-"+strategy, GroupSettings{From: AtEnd(), Filter: filter, Strategy: strategy})
	type taken struct {
		by    int
		event *Recorded
	}
	events := make(chan taken)
	for i := range got {
		c := t.consume(All, group, 20)
		go func() {
			for d := c.Next(); d.Err == nil; d = c.Next() {
				select {
				case events <- taken{i, d.Resolved.Event}:
				case <-t.ctx.Done():
				}
			}
		}()
	}
	for i := range 20 {
		t.say(prefix+strconv.Itoa(i%5), strconv.Itoa(i))
	}
	for range 20 {
		select {
		case e := <-events:
			got[e.by] = append(got[e.by], e.event)
		case <-t.ctx.Done():
			t.Fatalf("%s: not all events came", strategy)
		}
	}
	if err := t.DeleteGroup(t.ctx, All, group); err != nil {
		t.Errorf("delete: %v", err)
	}
	return got
}
