package api

import (
	"bytes"
	"fmt"
	"time"
)

// timeLayout keeps microseconds, what Postgres keeps, also where they are zero:
// times of one list then have one shape.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// Time is a time as the document writes it: RFC 3339, in UTC, to the
// microsecond. A client may write any offset, but needs one.
type Time time.Time

// MarshalText makes it JSON text.
func (t Time) MarshalText() ([]byte, error) {
	utc := time.Time(t).UTC()
	if year := utc.Year(); year < 0 || year > 9999 {
		return nil, fmt.Errorf("year %d has no RFC 3339 form", year)
	}
	return utc.AppendFormat(nil, timeLayout), nil
}

// UnmarshalText takes RFC 3339. A space in place of the offset's plus is what an
// unescaped plus becomes in a query.
func (t *Time) UnmarshalText(text []byte) error {
	parsed, err := time.Parse(time.RFC3339Nano, string(bytes.Replace(text, []byte(" "), []byte("+"), 1)))
	if err != nil {
		return fmt.Errorf("not a time of RFC 3339: %w", err)
	}
	*t = Time(parsed)
	return nil
}

// Bind takes a parameter's text.
func (t *Time) Bind(text string) error { return t.UnmarshalText([]byte(text)) }

// String is t as the document writes it.
func (t Time) String() string { return time.Time(t).UTC().Format(timeLayout) }
