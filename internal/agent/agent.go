// Package agent carries out runs: it builds the conversation, asks a model
// provider, and keeps the journal of what was answered. It decides nothing of the
// journal's; what it may still say is the Journal's to refuse.
package agent

import (
	"context"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
	"github.com/g4fagent/g4fagent/internal/fault"
)

// Journal is one attempt at a run, as the log keeps it. An error of any method
// ends the attempt: the run is over, somebody else has it, or the log is away.
// commands.Execution is a Journal.
type Journal interface {
	// Run is what was asked for.
	Run() eventschema.RunRequested
	// Attempt counts the attempts at the run, from 1.
	Attempt() int
	// Conversation hands the session's messages up to the request to visit, newest
	// first, until visit says that it has enough.
	Conversation(ctx context.Context, visit func(eventschema.MessagePosted) (more bool)) error
	// Ask records that the provider is about to be asked.
	Ask(ctx context.Context, request []byte) error
	// Output records a piece of the answer, of at most MaxPiece bytes.
	Output(ctx context.Context, text string) error
	// Complete ends the run with an answer, of which last was not recorded yet.
	Complete(ctx context.Context, last, answer string, usage eventschema.Usage) error
	// Fail ends the run without one. The message is for people.
	Fail(ctx context.Context, code, message string) error
}

// Providers finds the client of a configured provider. An error that is a
// *fault.Error of a kind that waiting cannot help, such as ErrProviderNotFound,
// fails the run with its code; so does a *provider.Error. Any other error is an
// outage, and the attempt ends without an outcome.
type Providers interface {
	Client(ctx context.Context, providerID string) (provider.Client, error)
}

// What Providers answer when there is no client to give.
var (
	ErrProviderNotFound = fault.New(fault.NotFound, "provider_not_found", "There is no such model provider.")
	ErrProviderDisabled = fault.New(fault.Forbidden, "provider_disabled", "The model provider is switched off in the settings.")
)

// Defaults of Options.
const (
	DefaultMaxContextTokens = 200_000
	DefaultMaxAnswerBytes   = 512 << 10
	DefaultRunTimeout       = 10 * time.Minute
	DefaultMaxAttempts      = 20
)

// Options of an Executor. Zero fields take the defaults.
type Options struct {
	Providers Providers
	// MaxContextTokens bounds a conversation and its answer together, as
	// provider.EstimateTokens counts. A session's config can lower it with
	// max_context_tokens.
	MaxContextTokens int64
	// MaxOutputTokens, when positive, is sent with every request, unless the
	// session's config asks for less. When zero there is no bound but the config's
	// and the provider's own.
	MaxOutputTokens int64
	// MaxAnswerBytes bounds an answer. With its message it must fit one append of
	// the log, after JSON and sealing have made it longer.
	MaxAnswerBytes int
	// RunTimeout bounds one attempt at a run, waiting for the provider included.
	// Silence within it is the provider client's to bound.
	RunTimeout time.Duration
	// MaxAttempts bounds how often a run is begun anew after the process, not the
	// provider, went down: a run that takes the process with it must end.
	MaxAttempts int
}

// Executor carries out runs. It is safe for concurrent use.
type Executor struct{ options Options }

// New makes an Executor.
func New(o Options) *Executor {
	orDefault(&o.MaxContextTokens, DefaultMaxContextTokens)
	orDefault(&o.MaxAnswerBytes, DefaultMaxAnswerBytes)
	orDefault(&o.RunTimeout, DefaultRunTimeout)
	orDefault(&o.MaxAttempts, DefaultMaxAttempts)
	return &Executor{options: o}
}

func orDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// RunTimeout bounds one call of Execute, but for what the journal takes to record
// the end.
func (e *Executor) RunTimeout() time.Duration { return e.options.RunTimeout }
