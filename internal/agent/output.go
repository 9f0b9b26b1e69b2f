package agent

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// MaxPiece bounds one recorded piece of an answer, in bytes.
	MaxPiece = 64 << 10
	// An answer is recorded this many bytes, or this much time, after it was last:
	// an event for every token would cost more than the token.
	flushBytes = 4 << 10
	flushAfter = 100 * time.Millisecond
)

// output is the answer of one attempt: all of it, and what is not recorded yet.
type output struct {
	journal Journal
	whole   strings.Builder
	pending strings.Builder
	timer   *time.Timer
}

func newOutput(j Journal) *output {
	t := time.NewTimer(flushAfter)
	t.Stop()
	return &output{journal: j, timer: t}
}

// due fires when what is pending has waited long enough.
func (o *output) due() <-chan time.Time { return o.timer.C }

// started reports whether the provider has said anything.
func (o *output) started() bool { return o.whole.Len() > 0 }

// add takes a piece from the provider, and records what is pending once it is
// enough.
func (o *output) add(ctx context.Context, text string) error {
	if text == "" {
		return nil
	}
	text = storable(text)
	if o.pending.Len() == 0 {
		o.timer.Reset(flushAfter)
	}
	o.whole.WriteString(text)
	o.pending.WriteString(text)
	if o.pending.Len() < flushBytes {
		return nil
	}
	return o.flush(ctx)
}

// flush records what is pending, in pieces of at most MaxPiece. What could not be
// recorded is still pending.
func (o *output) flush(ctx context.Context) error {
	text := o.take()
	for text != "" {
		piece := text[:cut(text, MaxPiece)]
		if err := o.journal.Output(ctx, piece); err != nil {
			o.restore(text)
			return err
		}
		text = text[len(piece):]
	}
	return nil
}

// take is what is pending, which no longer is.
func (o *output) take() string {
	text := o.pending.String()
	o.pending.Reset()
	o.timer.Stop()
	return text
}

// restore makes text pending again.
func (o *output) restore(text string) { o.pending.WriteString(text) }

// cut is where text can be cut at or below limit without breaking a character.
func cut(text string, limit int) int {
	if len(text) <= limit {
		return len(text)
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return limit
}
