package persistent

// ledger keeps in order what a group took from a source, so that it knows up to
// where everything is settled.
type ledger struct {
	open []*line // the first is not settled
	// done is the place up to which all is settled, if there is any, and settled
	// how many events that is since it was last noted down.
	done    *place
	settled int
	// moved is true when the source has none up to a place, since then.
	moved bool
}

// line is one event, or a place at which there was none.
type line struct {
	place   place
	events  int
	settled bool
}

func (l *ledger) add(p place) *line {
	n := &line{place: p, events: 1}
	l.open = append(l.open, n)
	return n
}

// pass notes a place at which nothing is for the consumers.
func (l *ledger) pass(p place) {
	n := &line{place: p}
	l.open = append(l.open, n)
	l.settle(n)
}

func (l *ledger) settle(n *line) {
	n.settled = true
	for len(l.open) > 0 && l.open[0].settled {
		first := l.open[0]
		l.done = &first.place
		l.settled += first.events
		l.open[0] = nil
		l.open = l.open[1:]
	}
}

// message is an event that a group has for its consumers.
type message struct {
	Delivered

	ledger *ledger
	line   *line
	waits  int // its bytes, while it waits for the first time
}

func (m *message) settle() { m.ledger.settle(m.line) }
