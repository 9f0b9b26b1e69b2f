package engine

import (
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// DefaultMaxAppendBytes is EventStoreDB's own limit.
const DefaultMaxAppendBytes = 1 << 20

// Options configure an engine. Log is required.
type Options struct {
	Log *storage.Log
	// MaxAppendBytes bounds one append: the sum of data, metadata and twice the
	// type's length of each event. Zero means DefaultMaxAppendBytes.
	MaxAppendBytes int
	// Now is the clock that $maxAge is measured by; nil means time.Now.
	Now func() time.Time
	// NewID makes the ids of the events that the engine itself writes; nil
	// means random ones.
	NewID func() [16]byte
}

// Engine serves one log. Its methods may be called concurrently.
type Engine struct {
	log       *storage.Log
	maxAppend int
	now       func() time.Time
	newID     func() [16]byte
	recent    *recentIDs
	progress  *progress
}

// New makes an engine. Nothing else may write to the log.
func New(o Options) *Engine {
	e := &Engine{log: o.Log, maxAppend: o.MaxAppendBytes, now: o.Now, newID: o.NewID, recent: newRecentIDs(), progress: newProgress()}
	if e.maxAppend == 0 {
		e.maxAppend = DefaultMaxAppendBytes
	}
	if e.now == nil {
		e.now = time.Now
	}
	if e.newID == nil {
		e.newID = func() [16]byte { return uuid.New() }
	}
	return e
}

// MaxAppendBytes is the limit in force.
func (e *Engine) MaxAppendBytes() int { return e.maxAppend }
