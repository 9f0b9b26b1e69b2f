package engine

import (
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// verdict is what becomes of an append that is not refused: it is made, or it
// repeats one that was made before, whose receipt is given again.
type verdict struct {
	repeats bool
	receipt Receipt
}

// judge compares an append with its stream. It refuses with *ConflictError or
// *DeletedError.
func (e *Engine) judge(tx *storage.Tx, s target, a Append) (verdict, error) {
	switch expected := int64(a.Expected); {
	case a.Expected == StreamExists:
		if s.softDeleted() {
			return verdict{}, &DeletedError{Stream: s.name}
		}
		if known, err := s.known(tx); err != nil || !known {
			return verdict{}, orConflict(err, s, a)
		}
		return e.judgeByMemory(tx, s, a)
	case a.Expected == Any:
		return e.judgeByMemory(tx, s, a)
	case expected > s.Last:
		return verdict{}, s.conflict(a.Expected)
	case expected < s.Last:
		return judgeByStream(tx, s, a)
	default:
		return verdict{}, nil
	}
}

// judgeByMemory looks for the ids among those of the latest events. Only the
// first id decides whether an append may be a repetition at all.
func (e *Engine) judgeByMemory(tx *storage.Tx, s target, a Append) (verdict, error) {
	var last uint64
	for i := range a.Events {
		revision, found := e.recent.revision(s.name, a.Events[i].ID)
		switch {
		case !found && i == 0:
			return verdict{}, nil
		case !found:
			return verdict{}, s.conflict(a.Expected)
		}
		last = revision
	}
	if len(a.Events) == 0 {
		return verdict{}, nil
	}
	event, found, err := tx.Event(s.name, last)
	if err != nil || !found {
		return verdict{}, orConflict(err, s, a)
	}
	return repeated(event), nil
}

// judgeByStream compares the ids with those of the events that lie where the
// append would have gone.
func judgeByStream(tx *storage.Tx, s target, a Append) (verdict, error) {
	var last *storage.Event
	for i := range a.Events {
		revision := uint64(int64(a.Expected) + 1 + int64(i))
		event, found, err := tx.Event(s.name, revision)
		if err != nil {
			return verdict{}, err
		}
		if !found || event.ID != a.Events[i].ID {
			if i == 0 && a.Expected == NoStream && s.softDeleted() {
				return verdict{}, nil
			}
			return verdict{}, s.conflict(a.Expected)
		}
		last = event
	}
	if len(a.Events) == 0 {
		return verdict{}, s.conflict(a.Expected)
	}
	return repeated(last), nil
}

func repeated(event *storage.Event) verdict {
	return verdict{repeats: true, receipt: Receipt{Revision: int64(event.Revision), Position: event.Position}}
}

func orConflict(err error, s target, a Append) error {
	if err != nil {
		return err
	}
	return s.conflict(a.Expected)
}
