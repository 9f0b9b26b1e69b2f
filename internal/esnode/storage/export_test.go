package storage

// Waiting is how many commits wait for the writer.
func (l *Log) Waiting() int { return len(l.commits) }
