package reactors

import "time"

// SetRetry shortens how long an event waits that could not be handled.
func SetRetry(r *Reactors, d time.Duration) {
	for _, f := range r.followers {
		f.retry = d
	}
}

// PassEvery is how many unwanted events move a checkpoint.
const PassEvery = passEvery

// Priority is that of a project's next run.
var Priority = priority
