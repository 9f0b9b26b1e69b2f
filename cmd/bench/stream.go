package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// arriveBound is how long the last frames may take after the last append.
	arriveBound = 10 * time.Second
	openers     = 16
	senders     = 16
)

// watchers are open event streams. Each collects how long messages took from
// when they were to be posted to when their frames arrived.
type watchers struct {
	conns   []*conn
	reading sync.WaitGroup

	mu      sync.Mutex
	latency []time.Duration
	want    int
	arrived chan struct{} // closed when as many frames came as are wanted
}

// follow opens n streams, spread over the sessions.
func (s *server) follow(ctx context.Context, sessions []string, n int) (*watchers, error) {
	w := &watchers{conns: make([]*conn, n), want: -1, arrived: make(chan struct{})}
	group, opening := errgroup.WithContext(ctx)
	group.SetLimit(openers)
	for i := range w.conns {
		group.Go(func() error {
			c, res, err := s.stream(opening, sessions[i%len(sessions)])
			if err != nil {
				return err
			}
			w.conns[i] = c
			w.reading.Go(func() {
				defer func() { _ = res.Body.Close() }() // it was read
				w.read(res.Body)
			})
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (s *server) stream(ctx context.Context, session string) (*conn, *http.Response, error) {
	c, err := dial(ctx, s.address)
	if err != nil {
		return nil, nil, err
	}
	res, err := c.send(s.request(http.MethodGet, "/stream/sessions/"+session, ""))
	if err == nil && res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10)) // as much of it as came
		err = fmt.Errorf("open a stream: %d %s", res.StatusCode, body)
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	return c, res, nil
}

// sentMark precedes, in a message's meta, when it was to be sent.
var sentMark = []byte(`"sent":`)

// read notes when frames arrive, until the stream is closed.
func (w *watchers) read(body io.Reader) {
	buf := make([]byte, 0, 4<<10)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		for {
			frame, rest, found := bytes.Cut(buf, []byte("\n\n"))
			if !found {
				break
			}
			w.note(frame)
			buf = buf[:copy(buf, rest)]
		}
		if err != nil {
			return // close does that
		}
	}
}

func (w *watchers) note(frame []byte) {
	now := time.Now()
	_, after, found := bytes.Cut(frame, sentMark)
	if !found {
		return
	}
	end := 0
	for end < len(after) && after[end] >= '0' && after[end] <= '9' {
		end++
	}
	sent, err := strconv.ParseInt(string(after[:end]), 10, 64)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latency = append(w.latency, now.Sub(time.Unix(0, sent)))
	w.settle()
}

// settle tells await that everything came. The caller holds w.mu.
func (w *watchers) settle() {
	if len(w.latency) == w.want {
		close(w.arrived)
	}
}

// await waits until n frames have come, and returns what they took and how many
// have not come.
func (w *watchers) await(ctx context.Context, n int) (s sample, missing int, err error) {
	w.mu.Lock()
	w.want = n
	w.settle()
	w.mu.Unlock()
	bound := time.NewTimer(arriveBound)
	defer bound.Stop()
	select {
	case <-w.arrived:
	case <-bound.C:
	case <-ctx.Done():
		return s, 0, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.latency = append(s.latency, w.latency...)
	return s, n - len(w.latency), nil
}

func (w *watchers) close() {
	for _, c := range w.conns {
		if c != nil {
			_ = c.Close() // its reader ends
		}
	}
	w.reading.Wait()
}

// post posts messages to the sessions in turn, perSecond of them, for d: each at
// its time, whether or not the one before has been answered.
func (s *server) post(ctx context.Context, sessions []string, perSecond int, d time.Duration) (sent int, err error) {
	due := make(chan int, perSecond)
	began := time.Now()
	gap := time.Second / time.Duration(perSecond)
	group, ctx := errgroup.WithContext(ctx)
	for range senders {
		group.Go(func() error { return s.postDue(ctx, sessions, due, began, gap) })
	}
	tick := time.NewTicker(gap)
	defer tick.Stop()
	for ctx.Err() == nil {
		// A tick that came late owes those that it missed.
		for ; sent <= int(time.Since(began)/gap) && time.Duration(sent)*gap < d; sent++ {
			select {
			case due <- sent:
			case <-ctx.Done():
			}
		}
		if time.Duration(sent)*gap >= d {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	close(due)
	return sent, group.Wait()
}

func (s *server) postDue(ctx context.Context, sessions []string, due <-chan int, began time.Time, gap time.Duration) error {
	c, err := dial(ctx, s.address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing is left to be sent
	for n := range due {
		at := began.Add(time.Duration(n) * gap).UnixNano()
		body := message(fmt.Sprintf(`{"sent":%d}`, at))
		if _, err := c.exchange(s.request(http.MethodPost, "/sessions/"+sessions[n%len(sessions)]+"/messages", body), false); err != nil {
			return orEnd(ctx, err)
		}
	}
	return nil
}

// measureStreams measures from when a message is to be posted to when every
// stream that follows its session has it.
func measureStreams(ctx context.Context, b *bench) error {
	spread := max(b.streams/10, 1)
	for _, m := range []struct {
		sessions, perSecond int
	}{{spread, 100}, {1, 4}} {
		sessions, err := b.server.createSessions(ctx, b.project, m.sessions)
		if err != nil {
			return err
		}
		l, err := b.measureFan(ctx, sessions, m.perSecond)
		if err != nil {
			return err
		}
		b.report.add(l)
	}
	return nil
}

func (b *bench) measureFan(ctx context.Context, sessions []string, perSecond int) (row, error) {
	w, err := b.server.follow(ctx, sessions, b.streams)
	if err != nil {
		return row{}, err
	}
	defer w.close()
	used, err := usedByChildren(ctx)
	if err != nil {
		return row{}, err
	}
	began, d := time.Now(), time.Duration(b.rounds)*b.round*2
	sent := 0
	err = b.profiled(ctx, d, func() (err error) {
		sent, err = b.server.post(ctx, sessions, perSecond, d)
		return err
	})
	if err != nil {
		return row{}, err
	}
	frames := 0
	for i := range b.streams {
		frames += share(sent, len(sessions), i%len(sessions))
	}
	s, missing, err := w.await(ctx, frames)
	if err != nil {
		return row{}, err
	}
	s.took = time.Since(began)
	after, err := usedByChildren(ctx)
	if err != nil {
		return row{}, err
	}
	s.cpu = after - used
	l := row{part: "sse", what: fmt.Sprintf("%d appends/s to %d sessions, to the frame at the client", perSecond, len(sessions)), c: b.streams, ours: figureOf(&s)}
	if missing > 0 {
		l.note = fmt.Sprintf("%d frames did not come", missing)
	}
	return bounded(l, 50*time.Millisecond), nil
}

// share is how many of n that are dealt to k in turns the ith gets.
func share(n, k, i int) int {
	return (n - i + k - 1) / k
}
