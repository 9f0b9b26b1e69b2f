package postgres

import "time"

// SetQuiet shortens how long a connection may be silent, and how long it has to
// answer when it is asked.
func SetQuiet(db *DB, quiet, answer time.Duration) { db.quiet, db.answer = quiet, answer }

// Managed reports whether the server is this process's own child.
func Managed(db *DB) bool { return db.server != nil }
