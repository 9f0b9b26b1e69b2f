package commands

import (
	"context"
	"errors"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// logbook is the log as commands read it. The log bounds each read by itself; when
// that bound is over and the caller is still there, it is the log that is away.
type logbook struct{ *eventlog.Log }

// Read returns up to limit events of a stream from revision from on, oldest first.
func (l logbook) Read(ctx context.Context, stream string, from int64, limit int) ([]eventlog.Record, error) {
	page, err := l.Log.Read(ctx, stream, from, limit)
	return page, outage(ctx, err)
}

// ReadBack returns up to limit events of a stream from revision from downwards,
// newest first.
func (l logbook) ReadBack(ctx context.Context, stream string, from int64, limit int) ([]eventlog.Record, error) {
	page, err := l.Log.ReadBack(ctx, stream, from, limit)
	return page, outage(ctx, err)
}

// Head is the position of the log's last event.
func (l logbook) Head(ctx context.Context) (eventlog.Position, error) {
	p, err := l.Log.Head(ctx)
	return p, outage(ctx, err)
}

func outage(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return eventlog.ErrUnavailable
	}
	return err
}
