package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
)

// errTimeUp is why an attempt is canceled that took too long.
var errTimeUp = errors.New("the run took too long")

// Execute carries out one attempt. It returns nil once the run has its outcome in
// the journal, answer or failure, and an error when the attempt ended without
// one: the cause of ctx's end, or the journal's error. When ctx ends, the request
// to the provider is aborted at once and nothing more is recorded.
//
// The provider is asked again, with a wait between, while it fails in a way that
// may pass and has said nothing. Once it has said something, a failure is the
// run's.
func (e *Executor) Execute(ctx context.Context, j Journal) error {
	if j.Attempt() > e.options.MaxAttempts {
		return j.Fail(ctx, codeTooManyAttempts, fmt.Sprintf("the run was begun %d times and never came to an end", e.options.MaxAttempts))
	}
	limited, cancel := context.WithTimeoutCause(ctx, e.options.RunTimeout, errTimeUp)
	defer cancel()
	a := &attempt{executor: e, journal: j, out: newOutput(j)}
	err := a.run(limited)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	f, ok := errors.AsType[*failure](err)
	if limited.Err() != nil {
		f, ok = &failure{codeRunTimeout, fmt.Sprintf("the run took longer than %s", e.options.RunTimeout)}, true
	}
	if !ok {
		return err
	}
	return a.fail(ctx, f)
}

// attempt is one call of Execute.
type attempt struct {
	executor *Executor
	journal  Journal
	out      *output
}

// run asks for an answer and completes the run with it.
func (a *attempt) run(ctx context.Context) error {
	client, err := a.executor.options.Providers.Client(ctx, a.journal.Run().ProviderID)
	if err != nil {
		return noClient(err)
	}
	req, err := a.executor.request(ctx, a.journal)
	if err != nil {
		return err
	}
	end, err := a.ask(ctx, client, req)
	if err != nil {
		return err
	}
	return a.complete(ctx, end)
}

// ask asks until there is an answer, or an error that asking again cannot help.
func (a *attempt) ask(ctx context.Context, client provider.Client, req provider.Request) (provider.Chunk, error) {
	written, err := json.Marshal(req)
	if err != nil {
		return provider.Chunk{}, fmt.Errorf("write the request for its digest: %w", err)
	}
	for requests := 1; ; requests++ {
		if err := a.journal.Ask(ctx, written); err != nil {
			return provider.Chunk{}, err
		}
		end, err := a.listen(ctx, client, req)
		e, ok := errors.AsType[*provider.Error](err)
		switch {
		case !ok: // nil included
			return end, err
		case a.out.started():
			return provider.Chunk{}, broken(e)
		}
		wait, again := provider.Backoff(requests, e)
		if !again {
			return provider.Chunk{}, failed(e)
		}
		if err := pause(ctx, wait); err != nil {
			return provider.Chunk{}, err
		}
	}
}

// listen makes one request and records its answer as it comes. It returns the
// answer's end, with what is known of usage.
func (a *attempt) listen(ctx context.Context, client provider.Client, req provider.Request) (provider.Chunk, error) {
	ctx, abort := context.WithCancel(ctx)
	chunks := receive(ctx, client, req)
	defer func() {
		abort()
		for range chunks { // until the request is really over
		}
	}()
	var usage *provider.Usage
	for {
		select {
		case c, more := <-chunks:
			switch {
			case ctx.Err() != nil:
				return provider.Chunk{}, ctx.Err()
			case !more:
				return provider.Chunk{}, &provider.Error{Kind: provider.KindNetwork, Message: "the answer ended before it was finished"}
			case c.err != nil:
				return provider.Chunk{}, c.err
			}
			if c.chunk.Usage != nil {
				usage = c.chunk.Usage
			}
			if err := a.take(ctx, c.chunk.Text); err != nil {
				return provider.Chunk{}, err
			}
			if c.chunk.FinishReason != "" {
				return provider.Chunk{Usage: usage, FinishReason: c.chunk.FinishReason}, nil
			}
		case <-a.out.due():
			if err := a.out.flush(ctx); err != nil {
				return provider.Chunk{}, unrecorded(err)
			}
		case <-ctx.Done():
			return provider.Chunk{}, ctx.Err()
		}
	}
}

type received struct {
	chunk provider.Chunk
	err   error
}

// receive makes the request on a goroutine of its own, so that what has come is
// recorded while the provider thinks. The channel is closed when the request is
// over; ctx's end ends it.
func receive(ctx context.Context, client provider.Client, req provider.Request) <-chan received {
	chunks := make(chan received)
	go func() {
		defer close(chunks)
		for chunk, err := range client.Stream(ctx, req) {
			select {
			case chunks <- received{chunk, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return chunks
}

func (a *attempt) take(ctx context.Context, text string) error {
	if err := a.out.add(ctx, text); err != nil {
		return unrecorded(err)
	}
	if a.out.whole.Len() > a.executor.options.MaxAnswerBytes {
		return tooLarge()
	}
	return nil
}

// complete ends the run with the answer. One that was cut for its length is an
// answer; one that was cut for its content is not, and neither is nothing.
func (a *attempt) complete(ctx context.Context, end provider.Chunk) error {
	switch {
	case end.FinishReason == provider.FinishContentFilter:
		return &failure{codeContentFiltered, "the provider withheld the answer, or the rest of it, for its content"}
	case !a.out.started():
		return &failure{codeEmptyAnswer, "the provider answered without text (finish reason " + end.FinishReason + ")"}
	}
	if a.out.pending.Len() > MaxPiece {
		if err := a.out.flush(ctx); err != nil {
			return unrecorded(err)
		}
	}
	last := a.out.take()
	err := a.journal.Complete(ctx, last, a.out.whole.String(), usageOf(end.Usage))
	if err != nil {
		a.out.restore(last)
		return unrecorded(err)
	}
	return nil
}

// usageOf is what the provider finally said; what it did not say stays unknown.
func usageOf(u *provider.Usage) eventschema.Usage {
	if u == nil || !u.Known {
		return eventschema.Usage{}
	}
	return eventschema.Usage{InputTokens: &u.InputTokens, OutputTokens: &u.OutputTokens, CostUSD: u.CostUSD}
}

// fail ends the run. What was said until then is history and recorded before,
// unless it is what cannot be.
func (a *attempt) fail(ctx context.Context, f *failure) error {
	if f.code != codeAnswerUnstorable {
		if err := a.out.flush(ctx); err != nil {
			return err
		}
	}
	return a.journal.Fail(ctx, f.code, f.message)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
