package logcopy

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// Why a copy cannot be made, or go on.
var (
	// ErrNothing says that the source has no events.
	ErrNothing = errors.New("the source has no events")
	// ErrNotEmpty says that the target has events that are not of this copy.
	ErrNotEmpty = errors.New("the target has other events")
	// ErrTruncated says that the source has lost events of a stream that it still
	// has: a scavenge removed what its metadata ($maxAge, $maxCount, $tb) had
	// truncated. Their revisions cannot be kept, since a server numbers each
	// stream's events from zero without a gap.
	ErrTruncated = errors.New("the source has lost a stream's first events")
	// ErrDifferent says that an event of the target is not the source's.
	ErrDifferent = errors.New("the target differs from the source")
	// ErrGrown says that somebody wrote to the source meanwhile.
	ErrGrown = errors.New("the source has grown; stop what writes to it, and run the copy again")
)

const (
	// maxRun bounds the bytes of the events of one append, and runEvents their
	// number. One event may be larger: the source took it.
	maxRun    = 900 << 10
	runEvents = 500
	// pageBytes bounds what one event of the ledger tells of, about.
	pageBytes = 256 << 10
	// tellEvery is after how many compared events the progress is told.
	tellEvery = 1000
)

// Options of a copy.
type Options struct {
	// Progress, if set, is told now and then how many events were copied, or
	// compared.
	Progress func(Progress)
	Now      func() time.Time // time.Now if nil
	// Page is after how many events the ledger is written to; 1000 if zero.
	Page int
}

// Progress is how far a copy is.
type Progress struct {
	Comparing bool
	Events    int
}

// Report is what was copied.
type Report struct {
	Events  int
	Streams int
	// Digest is the SHA-256 over every event of every stream but streams' metadata,
	// in the log's order: stream, revision, id, type, content type, data, metadata.
	// It is the same for the source and the target.
	Digest string
	// Resumed says that an earlier run had begun the copy.
	Resumed bool
}

// Copy copies the log of from to to, compares the two, and notes the result in the
// ledger. It may be ended at any time and made again: it goes on behind the last
// event that the target has. Nobody else may write to either meanwhile.
func Copy(ctx context.Context, from, to *Store, o Options) (Report, error) {
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Page == 0 {
		o.Page = 1000
	}
	l, err := openLedger(ctx, from, to, o.Now)
	if err != nil {
		return Report{}, err
	}
	resumed := l.at != esdb.Position{}
	c := &copier{from: from, to: to, ledger: l, page: l.last, options: o}
	if err := c.run(ctx); err != nil {
		return Report{}, err
	}
	end := esdb.Position{Commit: c.page.Position.Commit, Prepare: c.page.Position.Prepare}
	report, err := compare(ctx, from, to, end, l.holds, o.Progress)
	if err != nil {
		return Report{}, err
	}
	report.Resumed = resumed
	if report.Events != c.page.Events {
		return Report{}, fmt.Errorf("%d events were copied, the logs have %d: %w", c.page.Events, report.Events, ErrDifferent)
	}
	c.page.Verified = &verified{Streams: report.Streams, Digest: report.Digest, At: o.Now().UTC()}
	return report, l.write(ctx, verifiedType, c.page)
}

// copier is a copy under way.
type copier struct {
	from, to *Store
	ledger   *ledger
	options  Options

	present present               // what the target has behind the ledger's last page
	events  []*esdb.RecordedEvent // of one stream, about to be appended
	bytes   int
	awaited []*esdb.RecordedEvent // the target writes them by itself with the next append
	page    page
	noted   int // events of the page
	told    int // bytes of the page, about
}

func (c *copier) run(ctx context.Context) error {
	if err := c.present.read(ctx, c.to, c.ledger); err != nil {
		return err
	}
	after := esdb.Position{Commit: c.page.Position.Commit, Prepare: c.page.Position.Prepare}
	next, stop := iter.Pull2(own(c.from.events(ctx, after)))
	defer stop()
	e, err, more := next()
	for more {
		if err != nil {
			return err
		}
		var following *esdb.RecordedEvent
		var failed error
		following, failed, more = next()
		if err := c.take(ctx, e, following); err != nil {
			return err
		}
		e, err = following, failed
	}
	if err := c.flush(ctx); err != nil {
		return err
	}
	if rest := c.present.any(); rest != nil {
		return fmt.Errorf("the target has %s, the source has not: %w", describe(rest), ErrDifferent)
	}
	return c.turn(ctx)
}

// own leaves out what servers keep for themselves.
func own(events iter.Seq2[*esdb.RecordedEvent, error]) iter.Seq2[*esdb.RecordedEvent, error] {
	return func(yield func(*esdb.RecordedEvent, error) bool) {
		for e, err := range events {
			if (err != nil || copied(e.StreamID)) && !yield(e, err) {
				return
			}
		}
	}
}

// take copies one event of the source, or keeps it for the next append.
func (c *copier) take(ctx context.Context, e, next *esdb.RecordedEvent) error {
	there, err := c.present.take(e)
	switch {
	case err != nil:
		return err
	case there:
	case e.EventType == tombstoneType:
		if err = c.flush(ctx); err == nil {
			err = c.to.tombstone(ctx, e.StreamID)
		}
	case isMetadata(e):
		if err = c.flush(ctx); err == nil {
			err = c.metadata(ctx, e, next)
		}
	default:
		if !c.fits(e) {
			err = c.flush(ctx)
		}
		c.events, c.bytes = append(c.events, e), c.bytes+size(e)
	}
	if err != nil {
		return err
	}
	c.note(e)
	if c.noted < c.options.Page && c.told < pageBytes {
		return nil
	}
	if err := c.flush(ctx); err != nil || len(c.awaited) > 0 {
		return err
	}
	return c.turn(ctx)
}

func (c *copier) fits(e *esdb.RecordedEvent) bool {
	n := len(c.events)
	return n == 0 || n < runEvents && c.bytes+size(e) <= maxRun &&
		c.events[n-1].StreamID == e.StreamID && c.events[n-1].EventNumber+1 == e.EventNumber
}

// flush appends what was kept.
func (c *copier) flush(ctx context.Context) error {
	if len(c.events) == 0 {
		return nil
	}
	stream, first := c.events[0].StreamID, c.events[0].EventNumber
	data := make([]esdb.EventData, len(c.events))
	for i, e := range c.events {
		data[i] = toData(e)
	}
	c.events, c.bytes = c.events[:0], 0
	if err := c.to.append(ctx, stream, first, data); err != nil {
		return c.explain(ctx, stream, first, err)
	}
	for _, e := range c.awaited {
		if err := c.reproduced(ctx, e); err != nil {
			return err
		}
	}
	c.awaited = nil
	return nil
}

// explain tells a gap in the source from events that somebody else wrote.
func (c *copier) explain(ctx context.Context, stream string, first uint64, err error) error {
	if !isCode(err, esdb.ErrorCodeWrongExpectedVersion) {
		return err
	}
	last, failed := c.to.last(ctx, stream)
	switch {
	case failed != nil:
		return failed
	case last == nil || last.EventNumber+1 < first:
		return fmt.Errorf("%s goes on at revision %d: %w", stream, first, ErrTruncated)
	default:
		return fmt.Errorf("%s has other events from revision %d on: %w", stream, first, ErrDifferent)
	}
}

// metadata copies a change of a stream's metadata. To a deleted stream a server
// adds metadata of its own: with the stream's next events, which begin it anew,
// and after other metadata.
func (c *copier) metadata(ctx context.Context, e, next *esdb.RecordedEvent) error {
	owner, _ := ownerOf(e.StreamID)
	last, err := c.to.last(ctx, e.StreamID)
	if err != nil {
		return err
	}
	switch {
	case last != nil && last.EventNumber >= e.EventNumber:
		return c.reproduced(ctx, e)
	case last != nil && marksDeleted(last.Data) && marksDeleted(e.Data):
		if err := c.to.delete(ctx, owner); err != nil {
			return err
		}
		return c.reproduced(ctx, e)
	case last != nil && marksDeleted(last.Data) && next != nil && next.StreamID == owner:
		c.awaited = append(c.awaited, e)
		return nil
	}
	if err := c.to.append(ctx, e.StreamID, e.EventNumber, []esdb.EventData{toData(e)}); err != nil {
		return c.explain(ctx, e.StreamID, e.EventNumber, err)
	}
	return nil
}

// reproduced checks that the target has by itself written metadata like e.
func (c *copier) reproduced(ctx context.Context, e *esdb.RecordedEvent) error {
	last, err := c.to.last(ctx, e.StreamID)
	if err == nil && (last == nil || !same(e, last)) {
		err = fmt.Errorf("the source has %s, the target %s: %w", describe(e), describe(last), ErrDifferent)
	}
	return err
}

// note puts e into the ledger's page.
func (c *copier) note(e *esdb.RecordedEvent) {
	c.page.Position = position{e.Position.Commit, e.Position.Prepare}
	c.page.Events++
	c.noted++
	n := len(c.page.Appends)
	if n > 0 {
		last := &c.page.Appends[n-1]
		if last.Stream == e.StreamID && last.Revision+uint64(len(last.Created)) == e.EventNumber {
			last.Created = append(last.Created, e.CreatedDate.UTC())
			c.told += len(time.RFC3339Nano)
			return
		}
	}
	c.page.Appends = append(c.page.Appends, appended{Stream: e.StreamID, Revision: e.EventNumber, Created: []time.Time{e.CreatedDate.UTC()}})
	c.told += 2*len(e.StreamID) + 3*len(time.RFC3339Nano)
}

// turn writes the page and begins the next one.
func (c *copier) turn(ctx context.Context) error {
	if c.noted == 0 {
		return nil
	}
	if err := c.ledger.write(ctx, pageType, c.page); err != nil {
		return err
	}
	c.page.Appends, c.noted, c.told = nil, 0, 0
	c.options.Progress(Progress{Events: c.page.Events})
	return nil
}
