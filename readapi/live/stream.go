package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/identity"
)

const (
	// heartbeatEvery stays below the promised 15 s by what may hold a comment up.
	heartbeatEvery = 10 * time.Second
	recheckEvery   = 60 * time.Second
	// cursorEvery is after how many events that the filter left out the client is
	// moved on, so that a reconnect does not read them again.
	cursorEvery = 1000

	// A stream that is behind reads firstPage events of the log, then twice as many
	// each time up to maxPage, as long as they are not more than pageBytes.
	firstPage = 16
	maxPage   = 256
	pageBytes = 1 << 20
)

// Reasons why the server ends a stream.
const (
	errShutdown = ending("shutdown")
	errRevoked  = ending("revoked")
	errFinished = ending("finished")
	errBroken   = ending("error")
	// errLeft is told to nobody.
	errLeft = ending("left")
)

// ending is why a stream is over, as an error.
type ending string

func (e ending) Error() string { return "the stream is over: " + string(e) }

// Stream is one client's view of a journal.
type Stream struct {
	Hub     *Hub
	Journal string // the log's stream
	User    string
	// From is the first revision to send.
	From int64
	// RunID, if set, leaves out what is not of this run, and ends with it.
	RunID string
	// Check returns an unauthorized or forbidden fault once the client may not
	// follow any more. It is asked now and then, and when something happened to the
	// user or to the login of the request.
	Check func(context.Context) error
	// Settled returns once read models show the log up to a position, or when it
	// has waited long enough: a client that is told of something finds it there.
	// Nil does not wait.
	Settled func(context.Context, eventlog.Position)
	// Stopping ends when the server wants its streams to end.
	Stopping context.Context //nolint:containedctx // the server's life, beside the request's
}

// Serve writes the stream until the client leaves, the run or the session is
// over, access ends or the server stops. Before anything is written it fails with
// ErrTooManyStreams; afterwards its error is what the client only knows as "error".
func (s Stream) Serve(ctx context.Context, w http.ResponseWriter) error {
	c := &connection{
		stream: s, login: identity.PrincipalOf(ctx).LoginFamily, changed: make(chan struct{}, 1),
		next: s.From, behind: true, page: firstPage,
		out: &writer{w: w, control: http.NewResponseController(w)},
	}
	leave, err := s.Hub.join(c)
	if err != nil {
		return err
	}
	defer leave()
	defer c.out.hurryWhen(s.Stopping)() //nolint:contextcheck // the server's life, beside the request's
	err = c.begin()
	if err == nil {
		err = c.run(ctx)
	}
	return c.end(ctx, err)
}

// connection is a stream that is open.
type connection struct {
	stream  Stream
	login   string
	journal *journal
	changed chan struct{} // something happened to the user or the login
	next    int64         // the first revision that the client has not been told of
	left    int64         // events left out since the last frame
	behind  bool          // the log has to be read
	missing bool          // the log must have something: the feed told of it
	page    int
	out     *writer
}

func (c *connection) begin() error {
	h := c.out.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	if err := c.out.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return errors.Join(errGone, err)
	}
	c.out.w.WriteHeader(http.StatusOK)
	return c.out.say([]byte("retry: 2000\n\n"))
}

// end says why before the connection closes. A client that cannot hear it any
// more will find out by itself.
func (c *connection) end(ctx context.Context, cause error) error {
	reason, known := errors.AsType[ending](cause)
	switch {
	case errors.Is(cause, errGone), !known && ctx.Err() != nil:
		c.stream.Hub.ends.WithLabelValues(string(errLeft)).Inc()
		return nil //nolint:nilerr // the client has left: nobody is there to be told
	case !known:
		reason = errBroken
	}
	c.stream.Hub.ends.WithLabelValues(string(reason)).Inc()
	if err := c.out.say(fmt.Appendf(nil, "event: end\ndata: {\"reason\":%q}\n\n", string(reason))); err != nil {
		c.stream.Hub.logger.DebugContext(ctx, "stream ended without a word", slog.String("stream", c.stream.Journal), slog.Any("error", err))
	}
	if !known {
		return fmt.Errorf("stream %s: %w", c.stream.Journal, cause)
	}
	return nil
}

// run tells the client what happens until it returns why it stopped.
func (c *connection) run(ctx context.Context) error {
	heartbeat := time.NewTicker(heartbeatEvery)
	defer heartbeat.Stop()
	recheck := time.NewTicker(recheckEvery)
	defer recheck.Stop()
	for {
		wake, err := c.forward(ctx)
		if err != nil {
			return err
		}
		// However much there is to tell, everything else has its turn.
		select {
		case <-wake:
		case <-c.changed:
			err = c.check(ctx)
		case <-recheck.C:
			err = c.check(ctx)
		case <-heartbeat.C:
			err = c.out.say([]byte(": keep-alive\n\n"))
		case <-c.stream.Stopping.Done():
			return errShutdown
		case <-ctx.Done():
			return errGone
		}
		if err != nil {
			return err
		}
	}
}

// forward tells the client the next events there are, but for whoever may not
// follow any more. Wake is closed when there is more, or will be.
func (c *connection) forward(ctx context.Context) (wake <-chan struct{}, err error) {
	select {
	case <-c.changed:
		if err := c.check(ctx); err != nil {
			return nil, err
		}
	default:
	}
	if c.behind {
		return c.stream.Hub.always, c.read(ctx)
	}
	entries, behind, wake := c.journal.from(c.next)
	if behind {
		c.behind, c.missing = true, true
		return c.stream.Hub.always, nil
	}
	if len(entries) == 0 {
		return wake, nil
	}
	return c.stream.Hub.always, c.send(ctx, entries)
}

func (c *connection) check(ctx context.Context) error {
	err := c.stream.Check(ctx)
	switch fault.KindOf(err) {
	case fault.Unauthorized, fault.Forbidden, fault.NotFound:
		return errRevoked
	default:
	}
	if err != nil {
		return fmt.Errorf("check whether the client may follow: %w", err)
	}
	return nil
}

// read tells the client the next events of the log. Whatever is appended after
// its end comes through the ring, which the stream joined before.
func (c *connection) read(ctx context.Context) error {
	page, err := c.stream.Hub.log.Read(ctx, c.stream.Journal, c.next, c.page)
	if err != nil {
		return err
	}
	if len(page) == 0 && c.missing {
		return fmt.Errorf("the log has no event %d, of which the feed told", c.next)
	}
	entries := make([]*entry, len(page))
	bytes := 0
	for i, r := range page {
		entries[i] = newEntry(r)
		bytes += entries[i].size
	}
	c.behind, c.missing = len(page) == c.page, false
	if c.page = min(2*c.page, maxPage); bytes > pageBytes {
		c.page = max(len(page)/2, 1)
	}
	return c.send(ctx, entries)
}

// send tells the client of events, up to the first that cannot be told.
func (c *connection) send(ctx context.Context, entries []*entry) error {
	frames := make([]frame, 0, len(entries))
	var settling *entry
	var broken error
	for _, e := range entries {
		f, err := e.encoded(c.stream.Hub.sealer)
		if err != nil {
			broken = err
			break
		}
		frames = append(frames, f)
		if c.wants(f) && !f.settles.IsZero() {
			settling = e
		}
	}
	if settling != nil && c.stream.Settled != nil {
		settling.settle(ctx, c.stream.Settled)
	}
	for _, f := range frames {
		over, err := c.tell(f)
		if err != nil {
			return err
		}
		if over {
			return errors.Join(errFinished, c.out.flush())
		}
	}
	return errors.Join(c.out.flush(), broken)
}

func (c *connection) wants(f frame) bool {
	return f.revision >= c.next && len(f.bytes) > 0 && (c.stream.RunID == "" || f.runID == c.stream.RunID)
}

// tell writes a frame that the client asked for. Over says that nothing of what
// it asked for follows.
func (c *connection) tell(f frame) (over bool, err error) {
	if f.revision < c.next {
		return false, nil
	}
	if c.wants(f) {
		c.left = 0
		err = c.out.write(f.bytes)
	} else {
		err = c.skip(f.revision)
	}
	c.next = f.revision + 1
	return f.last || c.stream.RunID != "" && f.runID == c.stream.RunID && f.terminal, err
}

func (c *connection) skip(revision int64) error {
	if c.left++; c.left < cursorEvery {
		return nil
	}
	c.left = 0
	cursor := strconv.AppendInt([]byte("id: "), revision, 10)
	return c.out.write(append(cursor, "\nevent: cursor\ndata: {}\n\n"...))
}
