package api

import "strconv"

// DefaultsTag is the entity tag of the settings that nobody ever changed: no event
// has made them, so that no revision names them.
const DefaultsTag = `"defaults"`

// ETag is the strong entity tag (RFC 9110, 8.8.3) of the version that an item has
// since the event at a revision. A negative revision is that of the defaults.
func ETag(revision int64) string {
	if revision < 0 {
		return DefaultsTag
	}
	return `"` + strconv.FormatInt(revision, 10) + `"`
}
