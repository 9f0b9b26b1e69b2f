package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

// Listener passes on notifications, on a connection of its own. A notification
// is a hint to look: those sent while the connection is away are lost, so every
// handler is called once after each connect as well.
type Listener struct {
	db       *DB
	handlers map[string][]func(payload string)
}

// NewListener is a listener on the database. Nothing happens before Run.
func (db *DB) NewListener() *Listener {
	return &Listener{db: db, handlers: map[string][]func(string){}}
}

// On has wake called for each notification on the channel, with its payload, and
// with "" after each connect. Wake is called on Run's goroutine, one call at a
// time, and must not block. On is not to be called after Run.
func (l *Listener) On(channel string, wake func(payload string)) {
	l.handlers[channel] = append(l.handlers[channel], wake)
}

// Run listens until ctx ends, and returns its error. It connects again when the
// connection is lost, after 50 ms at first and up to 5 s later.
func (l *Listener) Run(ctx context.Context) error {
	wait := backoff{min: 50 * time.Millisecond, max: 5 * time.Second}
	for {
		err := l.listen(ctx, wait.reset)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.db.log.LogAttrs(ctx, slog.LevelWarn, "listening for notifications broke off and begins again", slog.Any("cause", err))
		if !wait.pause(ctx) {
			return ctx.Err()
		}
	}
}

// listen passes on notifications until the connection is lost.
func (l *Listener) listen(ctx context.Context, listening func()) error {
	conn, err := l.db.Connect(ctx)
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	for channel := range l.handlers {
		if _, err := conn.Exec(ctx, "listen "+pgx.Identifier{channel}.Sanitize()); err != nil {
			return fmt.Errorf("listen on %s: %w", channel, err)
		}
	}
	listening()
	for _, wakes := range l.handlers {
		for _, wake := range wakes {
			wake("")
		}
	}
	for {
		notification, err := l.db.nextNotification(ctx, conn)
		if err != nil {
			return fmt.Errorf("wait for a notification: %w", err)
		}
		for _, wake := range l.handlers[notification.Channel] {
			wake(notification.Payload)
		}
	}
}
