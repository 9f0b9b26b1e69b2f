package postgres

import "time"

// SetQuiet shortens how long a connection may be silent.
func SetQuiet(db *DB, quiet time.Duration) { db.quiet = quiet }
