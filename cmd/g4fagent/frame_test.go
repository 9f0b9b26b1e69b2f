package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// frame is one server-sent event.
type frame struct{ id, event, data string }

// stream opens an event stream; frames ends with it.
func (c *client) stream(ctx context.Context, path, lastID string) (<-chan frame, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server.url+path, nil)
	if err != nil {
		return nil, err
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := c.ask(req) //nolint:bodyclose // whoever reads the frames closes it
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("stream answered %d", res.StatusCode), res.Body.Close())
	}
	frames := make(chan frame, 1024)
	go func() {
		defer close(frames)
		defer func() { _ = res.Body.Close() }()
		var f frame
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			switch name, value, _ := strings.Cut(lines.Text(), ": "); {
			case lines.Text() == "":
				if f.event != "" {
					frames <- f
				}
				f = frame{}
			case name == "id":
				f.id = value
			case name == "event":
				f.event = value
			case name == "data":
				f.data = value
			}
		}
	}()
	return frames, nil
}
