package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
)

// getters are c workers that each send the request, on a connection of their own.
func getters(ctx context.Context, address string, request []byte, c int) ([]operation, func(), error) {
	var conns []*conn
	end := func() {
		for _, c := range conns {
			_ = c.Close() // nothing is left to be sent
		}
	}
	workers := make([]operation, c)
	for i := range workers {
		c, err := dial(ctx, address)
		if err != nil {
			end()
			return nil, nil, err
		}
		conns = append(conns, c)
		workers[i] = func(ctx context.Context) error {
			_, err := c.exchange(request, false)
			return orEnd(ctx, err)
		}
	}
	return workers, end, nil
}

// measureGets compares reads with a bare gin that answers from one select.
func measureGets(ctx context.Context, b *bench) error {
	if err := b.limits.startBare(); err != nil {
		return err
	}
	sessions, err := b.server.createSessions(ctx, b.project, 1)
	if err != nil {
		return err
	}
	id := sessions[0]
	if err := b.fillPage(ctx, id); err != nil {
		return err
	}
	for _, c := range b.workers {
		if err := b.measureGet(ctx, c, "GET a session", "/sessions/"+id, "/sessions/"+bareSession); err != nil {
			return err
		}
	}
	page := fmt.Sprintf("GET a page of %d messages", barePage)
	return b.measureGet(ctx, 16, page, fmt.Sprintf("/sessions/%s/messages?limit=%d", id, barePage), "/sessions/"+bareSession+"/messages")
}

// fillPage posts as many messages to the session as a page has.
func (b *bench) fillPage(ctx context.Context, session string) error {
	var lagging atomic.Int64
	posts, end, err := b.server.posters(ctx, []string{session}, 1, &lagging)
	if err != nil {
		return err
	}
	defer end()
	for range barePage {
		if err := posts[0](ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) measureGet(ctx context.Context, c int, what, path, bare string) error {
	theirs, endTheirs, err := getters(ctx, b.limits.bare.address, request(http.MethodGet, b.limits.bare.address, bare, ""), c)
	if err != nil {
		return err
	}
	defer endTheirs()
	ours, endOurs, err := getters(ctx, b.server.address, b.server.request(http.MethodGet, path, ""), c)
	if err != nil {
		return err
	}
	defer endOurs()
	them, us, err := b.inTurns(ctx, theirs, ours)
	if err != nil {
		return err
	}
	b.report.add(ratio(row{
		part: "get", what: what, c: c, ours: figureOf(&us), yardstick: "bare gin + one select", theirs: figureOf(&them),
	}, 0.6))
	return nil
}
