package live

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

const (
	heartbeatEvery = 15 * time.Second
	recheckEvery   = 60 * time.Second
	// writeBound is how long one write may take before the client counts as gone.
	writeBound = 30 * time.Second
	// cursorEvery is after how many frames that the filter left out the client is
	// moved on, so that a reconnect does not read them again.
	cursorEvery = 1000
)

// Reasons why the server ends a stream.
const (
	reasonShutdown = "shutdown"
	reasonRevoked  = "revoked"
	reasonFinished = "finished"
	reasonBroken   = "error"
)

// Stream is one client's view of a journal.
type Stream struct {
	Hub     *Hub
	Journal string // the log's stream
	User    string
	// From is the first revision to send.
	From int64
	// RunID, if set, leaves out what is not of this run, and ends with it.
	RunID string
	// Check returns an error once the client may not follow any more.
	Check func(context.Context) error
	// Settled returns once read models show the log up to a position, or when it
	// has waited long enough: a client that is told of something finds it there.
	Settled func(context.Context, eventlog.Position)
	// Stopping ends when the server wants its streams to end.
	Stopping context.Context //nolint:containedctx // the server's life, beside the request's
}

// Serve writes the stream until the client leaves, the run is over, access ends
// or the server stops. The error is nil when the client knows why.
func (s Stream) Serve(ctx context.Context, w http.ResponseWriter) error {
	j, leave, err := s.Hub.join(s.Journal, s.User)
	if err != nil {
		return err
	}
	defer leave()
	c := connection{stream: s, journal: j, next: s.From, w: w, control: http.NewResponseController(w)}
	if err := c.open(); err != nil {
		return nil //nolint:nilerr // the client has left before anything was said
	}
	reason, err := c.run(ctx)
	if errors.Is(err, errGone) || ctx.Err() != nil {
		return nil
	}
	if err != nil {
		c.end(reasonBroken)
		return fmt.Errorf("stream %s: %w", s.Journal, err)
	}
	c.end(reason)
	return nil
}

// errGone says that the client does not read any more.
var errGone = errors.New("the client has left")

type connection struct {
	stream  Stream
	journal *journal
	next    int64 // the first revision that the client has not been told of
	left    int64 // frames left out since the last one sent
	w       http.ResponseWriter
	control *http.ResponseController
}

func (c *connection) open() error {
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	// The server's own deadline would end the stream; each write has one.
	if err := c.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	c.w.WriteHeader(http.StatusOK)
	return c.write([]byte("retry: 2000\n\n"))
}

func (c *connection) write(b []byte) error {
	if err := c.control.SetWriteDeadline(time.Now().Add(writeBound)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return errors.Join(errGone, err)
	}
	if _, err := c.w.Write(b); err != nil {
		return errors.Join(errGone, err)
	}
	if err := c.control.Flush(); err != nil {
		return errors.Join(errGone, err)
	}
	return nil
}

// end says why before the connection closes; a client that cannot hear it any
// more will find out by itself.
func (c *connection) end(reason string) {
	err := c.write(fmt.Appendf(nil, "event: end\ndata: {\"reason\":%q}\n\n", reason))
	if err != nil && !errors.Is(err, errGone) && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.stream.Hub.logger.Debug("stream ended without a word")
	}
}

func (c *connection) run(ctx context.Context) (reason string, err error) {
	if over, err := c.catchUp(ctx); over || err != nil {
		return reasonFinished, err
	}
	heartbeat := time.NewTicker(heartbeatEvery)
	defer heartbeat.Stop()
	recheck := time.NewTicker(recheckEvery)
	defer recheck.Stop()
	for {
		frames, past, wake, err := c.journal.from(c.next)
		switch {
		case err != nil:
			return "", err
		case past:
			if over, err := c.catchUp(ctx); over || err != nil {
				return reasonFinished, err
			}
			continue
		case len(frames) > 0:
			if over, err := c.send(ctx, frames); over || err != nil {
				return reasonFinished, err
			}
			continue
		}
		select {
		case <-wake:
			if c.idle() && c.stream.Check(ctx) != nil {
				return reasonRevoked, nil
			}
		case <-recheck.C:
			if c.stream.Check(ctx) != nil {
				return reasonRevoked, nil
			}
		case <-heartbeat.C:
			if err := c.write([]byte(": keep-alive\n\n")); err != nil {
				return "", err
			}
		case <-c.stream.Stopping.Done():
			return reasonShutdown, nil
		case <-ctx.Done():
			return "", errGone
		}
	}
}

// idle reports whether there is nothing to send: what woke the stream was not
// its journal.
func (c *connection) idle() bool {
	frames, past, _, err := c.journal.from(c.next)
	return len(frames) == 0 && !past && err == nil
}

// catchUp reads the log from the client's place to its end. Whatever is appended
// from then on comes through the ring, which the stream joined before.
func (c *connection) catchUp(ctx context.Context) (over bool, err error) {
	for {
		if c.stream.Stopping.Err() != nil {
			return false, nil
		}
		page, err := c.stream.Hub.log.Read(ctx, c.stream.Journal, c.next, pageSize)
		if err != nil {
			return false, err
		}
		frames := make([]frame, len(page))
		for i, r := range page {
			if frames[i], err = newFrame(r, c.stream.Hub.sealer); err != nil {
				return false, err
			}
		}
		if over, err := c.send(ctx, frames); over || err != nil {
			return over, err
		}
		if len(page) < pageSize {
			return false, nil
		}
	}
}

// send writes the frames that the client asked for, in one write.
func (c *connection) send(ctx context.Context, frames []frame) (over bool, err error) {
	var out []byte
	var settles eventlog.Position
	for _, f := range frames {
		if f.revision < c.next {
			continue
		}
		c.next = f.revision + 1
		if len(f.bytes) == 0 || c.stream.RunID != "" && f.runID != c.stream.RunID {
			out = c.skip(out, f.revision)
			continue
		}
		c.left = 0
		out = append(out, f.bytes...)
		if settles.Less(f.settles) {
			settles = f.settles
		}
		if c.stream.RunID != "" && f.terminal {
			over = true
			break
		}
	}
	if len(out) == 0 {
		return over, nil
	}
	if c.stream.Settled != nil && !settles.IsZero() {
		c.stream.Settled(ctx, settles)
	}
	return over, c.write(out)
}

func (c *connection) skip(out []byte, revision int64) []byte {
	if c.left++; c.left < cursorEvery {
		return out
	}
	c.left = 0
	out = append(out, "id: "...)
	out = strconv.AppendInt(out, revision, 10)
	return append(out, "\nevent: cursor\ndata: {}\n\n"...)
}
