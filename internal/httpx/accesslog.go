package httpx

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// maxLoggedPath bounds what a client can write into the log with a path.
const maxLoggedPath = 256

// record writes the one log line of a request. It has no query string, where
// tickets and search texts are, no body and no header but the request id.
func (e *edge) record(x *exchange, took time.Duration, stack []byte) {
	level := levelOf(x)
	ctx := context.WithoutCancel(x.ctx)
	if !e.log.Enabled(ctx, level) {
		return
	}
	path := x.r.URL.EscapedPath()
	attrs := make([]slog.Attr, 0, 24)
	attrs = append(attrs,
		slog.String("request_id", x.request.ID),
		slog.String("operation", x.label),
		slog.String("method", x.r.Method),
		slog.String("path", strings.Clone(path[:min(len(path), maxLoggedPath)])),
		slog.Int("status", x.status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.Int64("bytes", x.bytes),
		slog.String("ip", x.request.IP),
	)
	if !x.principal.Anonymous() {
		attrs = append(attrs, slog.String("actor", x.principal.UserID), slog.String("credential", x.principal.CredentialID))
	}
	if x.request.TraceID != "" {
		attrs = append(attrs, slog.String("trace_id", x.request.TraceID))
	}
	if x.code != "" {
		attrs = append(attrs, slog.String("code", x.code))
	}
	if x.left {
		attrs = append(attrs, slog.Bool("client_left", true))
	}
	if x.cause != nil {
		attrs = append(attrs, slog.String("error", x.cause.Error()))
	}
	if len(stack) > 0 {
		attrs = append(attrs, slog.String("stack", string(stack)))
	}
	if x.line != nil {
		attrs = append(attrs, x.line.Attrs()...)
	}
	e.log.LogAttrs(ctx, level, "request", attrs...)
}

// levelOf keeps what probes and preflights do, twice a minute and more, out of
// the log of a server at work.
func levelOf(x *exchange) slog.Level {
	switch {
	case x.left:
		return slog.LevelInfo
	case x.cause != nil && x.status == http.StatusServiceUnavailable:
		return slog.LevelWarn
	case x.cause != nil:
		return slog.LevelError
	case x.background:
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}
