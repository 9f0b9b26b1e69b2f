package live

// Kept counts what a hub keeps for streams.
func Kept(h *Hub) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.journals) + len(h.users) + len(h.logins) + h.streams
}

// NewFrame encodes one record.
var NewFrame = newFrame
