package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
)

// measureLongSession compares commands on a session with a long history with
// commands on an empty one. All workers share the one session: it takes one
// command at a time.
func measureLongSession(ctx context.Context, b *bench) error {
	empty, err := b.server.createSessions(ctx, b.project, 1)
	if err != nil {
		return err
	}
	if err := b.measureFirst(ctx); err != nil {
		return err
	}
	for _, c := range []int{1, 16} {
		var lagging atomic.Int64
		long, endLong, err := b.server.posters(ctx, []string{b.seeded.session}, c, &lagging)
		if err != nil {
			return err
		}
		short, endShort, err := b.server.posters(ctx, empty, c, &lagging)
		if err != nil {
			endLong()
			return err
		}
		one, two, err := b.inShortTurns(ctx, short, long)
		endLong()
		endShort()
		if err != nil {
			return err
		}
		b.report.add(ratio(row{
			part: "long", what: fmt.Sprintf("POST a message, after %d in one session", b.seeded.events), c: c, ours: figureOf(&two),
			yardstick: "the same, in an empty session", theirs: figureOf(&one), note: laggards(&lagging),
		}, 0.95))
	}
	return nil
}

// inShortTurns is inTurns with more and shorter turns: the two figures should be
// the same, so that little that happens between them would tell them apart.
func (b *bench) inShortTurns(ctx context.Context, first, second []operation) (one, two sample, err error) {
	quick := *b.options
	quick.round, quick.rounds, quick.profile = b.round/5, b.rounds*5, ""
	return (&bench{options: &quick}).inTurns(ctx, first, second)
}

// measureFirst is the first command on the session since the server started: it
// has to know the session's past.
func (b *bench) measureFirst(ctx context.Context) error {
	c, err := dial(ctx, b.server.address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing is left to be sent
	post := b.server.request(http.MethodPost, "/sessions/"+b.seeded.session+"/messages", message("{}"))
	var s sample
	if err := s.once(ctx, func(context.Context) error {
		_, err := c.exchange(post, false)
		return err
	}); err != nil {
		return err
	}
	b.report.add(row{
		part: "long", what: fmt.Sprintf("the first command after a start, no snapshot, %d events", b.seeded.events), c: 1,
		verdict: short(s.latency[0]),
	})
	return nil
}
