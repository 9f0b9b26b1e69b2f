package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// measureMemory has everything happen at once, for what the server holds then.
// The rows say that the load was there; the report's last row has the memory.
func measureMemory(ctx context.Context, b *bench) error {
	const c = 32
	sessions, err := b.server.createSessions(ctx, b.project, c)
	if err != nil {
		return err
	}
	w, err := b.server.follow(ctx, sessions, b.streams)
	if err != nil {
		return err
	}
	defer w.close()
	var lagging atomic.Int64
	posts, endPosts, err := b.server.posters(ctx, sessions, c, &lagging)
	if err != nil {
		return err
	}
	defer endPosts()
	path := fmt.Sprintf("/sessions/%s/messages?limit=200", b.seeded.session)
	gets, endGets, err := getters(ctx, b.server.address, b.server.request(http.MethodGet, path, ""), c)
	if err != nil {
		return err
	}
	defer endGets()
	var posted, got sample
	group, loading := errgroup.WithContext(ctx)
	d := b.round * 4
	group.Go(func() error { return posted.add(loading, posts, d) })
	group.Go(func() error { return got.add(loading, gets, d) })
	if err := group.Wait(); err != nil {
		return err
	}
	posted.cpu, got.cpu = 0, 0 // it belongs to both
	what := fmt.Sprintf("beside %d open streams and the other", b.streams)
	b.report.add(
		row{part: "memory", what: "POST a message, " + what, c: c, ours: figureOf(&posted), note: laggards(&lagging)},
		row{part: "memory", what: "GET a page of 200 messages, " + what, c: c, ours: figureOf(&got)},
	)
	return nil
}
