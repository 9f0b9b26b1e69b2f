package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
)

// posters are workers that each post a message at a time, on a connection of
// their own, to the sessions in turn. An answer says that the message is durable
// and visible; lagging counts those that say it is not visible yet.
func (s *server) posters(ctx context.Context, sessions []string, n int, lagging *atomic.Int64) ([]operation, func(), error) {
	var conns []*conn
	end := func() {
		for _, c := range conns {
			_ = c.Close() // nothing is left to be sent
		}
	}
	workers := make([]operation, n)
	for i := range workers {
		c, err := dial(ctx, s.address)
		if err != nil {
			end()
			return nil, nil, err
		}
		conns = append(conns, c)
		post := s.request(http.MethodPost, "/sessions/"+sessions[i%len(sessions)]+"/messages", message("{}"))
		workers[i] = func(ctx context.Context) error {
			a, err := c.exchange(post, false)
			if a.lagging {
				lagging.Add(1)
			}
			return orEnd(ctx, err)
		}
	}
	return workers, end, nil
}

// orEnd ends a load that is not wanted any more.
func orEnd(ctx context.Context, err error) error {
	if err == nil {
		return ctx.Err()
	}
	return err
}

// measureCommands compares a command that is answered once it is durable and
// visible with a durable INSERT of one row.
func measureCommands(ctx context.Context, b *bench) error {
	for _, c := range b.workers {
		inserts, err := b.limits.inserters(ctx, c)
		if err != nil {
			return err
		}
		sessions, err := b.server.createSessions(ctx, b.project, c)
		if err != nil {
			return err
		}
		var lagging atomic.Int64
		posts, end, err := b.server.posters(ctx, sessions, c, &lagging)
		if err != nil {
			return err
		}
		theirs, ours, err := b.inTurns(ctx, inserts, posts)
		end()
		if err != nil {
			return err
		}
		l := row{
			part: "commands", what: "POST a message, durable and visible", c: c, ours: figureOf(&ours),
			yardstick: "durable single-row INSERT", theirs: figureOf(&theirs), note: laggards(&lagging),
		}
		goal := 0.0
		if c == 16 {
			goal = 0.5
		}
		b.report.add(ratio(l, goal))
	}
	return nil
}

func laggards(n *atomic.Int64) string {
	if n.Load() == 0 {
		return ""
	}
	return fmt.Sprintf("%d not visible in time", n.Load())
}
