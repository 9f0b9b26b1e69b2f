// Package failpoint names the places where a crash would be worst, so that tests
// can crash a real process there. In a program built without the tag failpoints
// nothing of it is left.
package failpoint

// The places.
const (
	// Decided: a command is decided and not yet appended.
	Decided = "decided"
	// Appended: a command is durable and not yet answered.
	Appended = "appended"
	// Completing: the first of two appends is durable, the second not begun.
	Completing = "completing"
	// Reacted: an event became a job that is not committed yet.
	Reacted = "reacted"
	// Working: a job was taken and has done nothing yet.
	Working = "working"
	// Streaming: a run has recorded a piece of its answer.
	Streaming = "streaming"
	// Answering: a run has its whole answer and has not recorded the end.
	Answering = "answering"
)
