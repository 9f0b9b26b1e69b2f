package conformance

import (
	"context"
	"time"
)

func connections() []Behaviour {
	return []Behaviour{
		{"a connection carries 100 calls at once, and the next one waits", hundredCalls},
		{"a call that its caller leaves ends", leftCall},
	}
}

func hundredCalls(t *Trial) {
	stream := t.stream("s")
	t.say(stream, "a")
	var open []*following
	for range 100 {
		open = append(open, t.follow(stream, Subscribe{From: AtEnd()}))
	}
	ctx, cancel := context.WithTimeout(t.ctx, 100*time.Millisecond)
	defer cancel()
	_, err := t.Append(ctx, stream, Any, event("b"))
	t.wantError("the next call", err, ErrDeadline)
	open[0].sub.Close()
	t.say(stream, "c")
	t.wantStream(stream, "0:a", "1:c")
}

func leftCall(t *Trial) {
	ctx, cancel := context.WithCancel(t.ctx)
	sub, err := t.Subscribe(ctx, t.stream("s"), Subscribe{})
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	t.Cleanup(sub.Close)
	if m := sub.Next(); m.Kind != CaughtUp {
		t.Fatalf("got %q", m.text())
	}
	cancel()
	if m := sub.Next(); m.Kind != Dropped {
		t.Errorf("got %q", m.text())
	}
}
