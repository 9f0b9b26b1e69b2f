package agent

import (
	"errors"
	"fmt"
	"slices"

	"github.com/g4fagent/g4fagent/internal/agent/provider"
	"github.com/g4fagent/g4fagent/internal/fault"
)

// failure ends a run without an answer, with a code for programs and words for
// people.
type failure struct{ code, message string }

func (f *failure) Error() string { return f.message }

// Codes of failed runs that are no provider's.
const (
	codeMessageNotFound  = "message_not_found"
	codeEmptyMessage     = "empty_message"
	codeContextTooLarge  = "context_too_large"
	codeInvalidConfig    = "invalid_config"
	codeAnswerTooLarge   = "answer_too_large"
	codeAnswerUnstorable = "answer_not_storable"
	codeEmptyAnswer      = "empty_answer"
	codeContentFiltered  = "content_filtered"
	codeRunTimeout       = "run_timeout"
	codeTooManyAttempts  = "too_many_attempts"
	codeStreamBroken     = "provider_stream_broken"
)

// providerCodes are the codes of runs whose provider did not answer.
var providerCodes = map[provider.Kind]string{
	provider.KindNetwork:     "provider_unreachable",
	provider.KindRateLimited: "provider_rate_limited",
	provider.KindServer:      "provider_failed",
	provider.KindAuth:        "provider_unauthorized",
	provider.KindInvalid:     "provider_rejected",
	provider.KindNotFound:    "model_not_found",
	provider.KindCanceled:    "provider_failed",
	provider.KindTimeout:     "provider_timeout",
	provider.KindProtocol:    "provider_protocol",
}

// FailureCodes are all codes of failed runs, in order. The document lists them.
func FailureCodes() []string {
	codes := []string{
		codeMessageNotFound, codeEmptyMessage, codeContextTooLarge, codeInvalidConfig, codeAnswerTooLarge, codeAnswerUnstorable,
		codeEmptyAnswer, codeContentFiltered, codeRunTimeout, codeTooManyAttempts, codeStreamBroken,
		ErrProviderNotFound.Code, ErrProviderDisabled.Code,
	}
	for _, code := range providerCodes {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

func failed(err *provider.Error) *failure {
	code, ok := providerCodes[err.Kind]
	if !ok {
		code = "provider_failed"
	}
	return &failure{code, err.Message}
}

// broken is an answer that stopped in its middle. It is not asked for again: what
// came was seen and paid for, and a second answer need not begin like the first.
func broken(err *provider.Error) *failure {
	return &failure{codeStreamBroken, "the answer broke off: " + err.Message}
}

// noClient is what err of Providers means for a run: a failure, or an outage.
func noClient(err error) error {
	if e, ok := errors.AsType[*provider.Error](err); ok {
		return failed(e)
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		switch f.Kind {
		case fault.NotFound, fault.Forbidden, fault.Invalid, fault.Conflict, fault.NotImplemented:
			return &failure{f.Code, f.Text}
		default: // waiting may help
		}
	}
	return fmt.Errorf("find the run's provider: %w", err)
}

// unrecorded is what err of recording an answer means for a run. What the log
// will never take must not be asked for again and again.
func unrecorded(err error) error {
	switch fault.KindOf(err) {
	case fault.TooLarge:
		return tooLarge()
	case fault.Invalid:
		return &failure{codeAnswerUnstorable, "the answer holds something that cannot be stored"}
	default:
		return err
	}
}

func tooLarge() *failure {
	return &failure{codeAnswerTooLarge, "the answer is longer than a message can be"}
}
