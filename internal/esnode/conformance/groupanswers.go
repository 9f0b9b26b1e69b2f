package conformance

import "time"

func groupAnswers() []Behaviour {
	return []Behaviour{
		{"an event that is to be tried again is given so often, and then parked", answerRetry},
		{"an event that is kept for too long is given again", answerNone},
		{"an event that is skipped is settled", answerSkip},
		{"an event whose consumer goes is given to another", answerLost},
		{"a parked event is a link that can be replayed, and parked again", answerPark},
	}
}

func (t *Trial) parkedStream(stream, group string) string {
	return "$persistentsubscription-" + stream + "::" + group + "-parked"
}

func answerRetry(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a")
	group := t.group(stream, "g", GroupSettings{MaxRetries: 2})
	c := t.consume(stream, group, 1)
	for i := range 3 {
		d := c.next()
		if d.Retries != i {
			t.Errorf("try %d counts %d", i, d.Retries)
		}
		c.nack(Retry, d.Resolved)
	}
	t.eventually("it is parked", func() bool { return t.groupInfo(stream, group).Parked == 1 })
	t.say(stream, "b")
	c.settle("1:b")
}

func answerNone(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a")
	group := t.group(stream, "g", GroupSettings{Timeout: 100 * time.Millisecond})
	c := t.consume(stream, group, 10)
	if d := c.next(); d.Retries != 0 {
		t.Errorf("the first counts %d", d.Retries)
	}
	d := c.next()
	if d.Retries != 1 {
		t.Errorf("the second counts %d", d.Retries)
	}
	c.ack(d.Resolved)
	t.eventually("it is settled", func() bool { return t.groupInfo(stream, group).InFlight == 0 })
}

func answerSkip(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a", "b")
	group := t.group(stream, "g", GroupSettings{})
	c := t.consume(stream, group, 1)
	c.nack(Skip, c.take("0:a")...)
	c.settle("1:b")
	t.eventually("both are settled", func() bool {
		last := t.groupInfo(stream, group).Checkpoint
		return last != nil && *last == 1
	})
}

func answerLost(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a", "b")
	group := t.group(stream, "g", GroupSettings{})
	first := t.consume(stream, group, 10)
	first.take("0:a", "1:b")
	first.Close()
	t.consume(stream, group, 10).settle("0:a", "1:b")
}

func answerPark(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a", "b", "c")
	group := t.group(stream, "g", GroupSettings{})
	parked := t.parkedStream(stream, group)
	c := t.consume(stream, group, 10)
	c.nack(Park, c.take("0:a", "1:b", "2:c")...)
	t.eventually("they are parked", func() bool { return t.groupInfo(stream, group).Parked == 3 })
	links := t.read(parked, Read{Count: Everything})
	if len(links) != 3 || links[0].Event.Type != "$>" || string(links[0].Event.Data) != "0@"+stream {
		t.Errorf("parked are %v", links)
	}
	t.replay(stream, group, 1)
	first := c.next().Resolved
	t.wantReplayed(first, "0:a")
	c.ack(first)
	t.replay(stream, group, 0)
	second, third := c.next().Resolved, c.next().Resolved
	t.wantReplayed(second, "1:b")
	t.wantReplayed(third, "2:c")
	c.ack(second)
	c.nack(Park, third)
	t.eventually("the last is parked again", func() bool {
		links := t.read(parked, Read{Count: Everything})
		return len(links) == 1 && string(links[0].Event.Data) == "2@"+stream
	})
	if n := t.groupInfo(stream, group).Parked; n != 1 {
		t.Errorf("%d are parked", n)
	}
}

func (t *Trial) replay(stream, group string, stopAt int) {
	t.Helper()
	if err := t.ReplayParked(t.ctx, stream, group, stopAt); err != nil {
		t.Fatalf("replay: %v", err)
	}
}

// wantReplayed expects an event that comes by a link of the parked ones.
func (t *Trial) wantReplayed(r Resolved, want string) {
	t.Helper()
	if r.Event == nil || r.Link == nil || show(Resolved{Event: r.Event}) != want {
		t.Fatalf("replayed is %+v, %+v, want %s", r.Event, r.Link, want)
	}
}
