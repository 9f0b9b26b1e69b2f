package project

import (
	"encoding/json"
	"slices"
)

// Sessions is a list that grows without being copied: states share its rest.
type Sessions struct {
	id   string
	rest *Sessions
	n    int
}

func (s *Sessions) with(id string) *Sessions { return &Sessions{id: id, rest: s, n: s.Len() + 1} }

// Len is how many there are.
func (s *Sessions) Len() int {
	if s == nil {
		return 0
	}
	return s.n
}

// IDs lists the sessions, oldest first.
func (s *Sessions) IDs() []string {
	ids := make([]string, 0, s.Len())
	for ; s != nil; s = s.rest {
		ids = append(ids, s.id)
	}
	slices.Reverse(ids)
	return ids
}

// MarshalJSON writes the ids as a flat list, for snapshots.
func (s *Sessions) MarshalJSON() ([]byte, error) { return json.Marshal(s.IDs()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Sessions) UnmarshalJSON(raw []byte) error {
	var ids []string
	if err := json.Unmarshal(raw, &ids); err != nil {
		return err
	}
	var list *Sessions
	for _, id := range ids {
		list = list.with(id)
	}
	if list != nil {
		*s = *list
	}
	return nil
}
