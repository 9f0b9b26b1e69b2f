package projections

import "encoding/json"

// Text is free JSON as a column of type text holds it, byte for byte; nil is
// null.
func Text(raw json.RawMessage) *string {
	if raw == nil {
		return nil
	}
	s := string(raw)
	return &s
}
