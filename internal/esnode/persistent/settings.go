package persistent

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
)

// All is the whole log, in place of a stream's name.
const All = "$all"

// The strategies by which events are shared between consumers.
const (
	RoundRobin          = "RoundRobin"
	DispatchToSingle    = "DispatchToSingle"
	Pinned              = "Pinned"
	PinnedByCorrelation = "PinnedByCorrelation"
)

// Key names a group.
type Key struct{ Stream, Group string }

// String is the name of the group in its own streams.
func (k Key) String() string { return k.Stream + "::" + k.Group }

func (k Key) checkpoints() string { return "$persistentsubscription-" + k.String() + "-checkpoint" }
func (k Key) parked() string      { return "$persistentsubscription-" + k.String() + "-parked" }

// Start is where a group that has no checkpoint begins: with an event, which it
// includes, or, when neither field is set, with the first.
type Start struct {
	Revision uint64          // of a stream
	Position engine.Position // of the log
	End      bool            // with what is new when the group is made
}

// Settings are what a group is made with. Numbers are as EventStoreDB has them.
type Settings struct {
	Start        Start
	ResolveLinks bool
	Filter       *engine.FilterOptions // of All only
	// ExtraStatistics is kept and returned.
	ExtraStatistics bool
	// MaxRetryCount is how often an event is given again before it is parked.
	MaxRetryCount int
	// MessageTimeout is how long a consumer may keep an event; zero means for
	// ever.
	MessageTimeout time.Duration
	// A checkpoint is written when MinCheckpointCount events are settled and
	// CheckpointAfter has passed, or when MaxCheckpointCount are.
	MinCheckpointCount, MaxCheckpointCount int
	CheckpointAfter                        time.Duration
	MaxSubscriberCount                     int // zero means no bound
	// HistoryBufferSize bounds the events that wait for a consumer.
	LiveBufferSize, ReadBatchSize, HistoryBufferSize int
	Strategy                                         string
}

// InvalidError says why a group cannot be as it was asked for.
type InvalidError struct{ Reason string }

func (e *InvalidError) Error() string { return e.Reason }

// What else may be the matter with a group.
var (
	ErrExists         = errors.New("the persistent subscription exists")
	ErrNotFound       = errors.New("there is no such persistent subscription")
	ErrMaxSubscribers = errors.New("the persistent subscription has as many subscribers as it may")
	// ErrDropped ends a consumer whose group was changed, deleted or restarted.
	ErrDropped = errors.New("the persistent subscription was dropped")
)

func invalid(format string, args ...any) error { return &InvalidError{fmt.Sprintf(format, args...)} }

func (k Key) check() error {
	if k.Stream == "" || k.Group == "" {
		return invalid("a persistent subscription needs a stream and a group")
	}
	return nil
}

// maxCount bounds every count, so that none is a way to take memory.
const maxCount = 100_000

func (s *Settings) check(k Key) error {
	if err := k.check(); err != nil {
		return err
	}
	if s.Strategy == "" {
		s.Strategy = RoundRobin
	}
	if !slices.Contains([]string{RoundRobin, DispatchToSingle, Pinned, PinnedByCorrelation}, s.Strategy) {
		return invalid("consumer strategy %q does not exist", s.Strategy)
	}
	for name, n := range map[string]int{
		"live buffer size": s.LiveBufferSize, "read batch size": s.ReadBatchSize, "history buffer size": s.HistoryBufferSize,
	} {
		if n < 1 || n > maxCount {
			return invalid("the %s is %d, it must be from 1 to %d", name, n, maxCount)
		}
	}
	switch {
	case s.HistoryBufferSize <= s.ReadBatchSize:
		return invalid("the history buffer size must be above the read batch size")
	case s.MaxRetryCount < 0, s.MaxSubscriberCount < 0, s.MinCheckpointCount < 0, s.MessageTimeout < 0, s.CheckpointAfter < 0:
		return invalid("a setting is below zero")
	case s.MaxCheckpointCount < max(s.MinCheckpointCount, 1):
		return invalid("the maximum checkpoint count must be at least the minimum, and above zero")
	case s.Filter != nil && k.Stream != All:
		return invalid("only %s can be filtered", All)
	case s.Filter != nil:
		_, err := engine.NewFilter(*s.Filter)
		return err
	}
	return nil
}
