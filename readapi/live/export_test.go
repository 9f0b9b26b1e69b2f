package live

// Kept counts what a hub keeps for streams.
func Kept(h *Hub) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.journals) + len(h.users) + len(h.logins) + h.streams
}

// NewFrame encodes one record.
var NewFrame = newFrame

// Held is how many bytes of a journal a hub keeps for its streams.
func Held(h *Hub, journal string) int {
	h.mu.Lock()
	j := h.journals[journal]
	h.mu.Unlock()
	if j == nil {
		return 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bytes
}
