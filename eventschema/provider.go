package eventschema

// ProviderEvent is any event of a model provider's stream.
//
//sumtype:decl
type ProviderEvent interface {
	Event
	ofProvider()
}

type providerEvent struct{}

func (providerEvent) ofProvider() {}

var providerEvents = []Declaration{
	Declare[ProviderScanned](1),
	Declare[ProviderTested](1),
}

// ProviderScanned says that the provider was asked whether it is there.
type ProviderScanned struct {
	providerEvent

	ProviderID string `json:"provider_id"`
	Reachable  bool   `json:"reachable"`
	// Reason is readable, and empty when the provider was reached.
	Reason string `json:"reason,omitempty"`
}

// EventName is the stored name.
func (ProviderScanned) EventName() string { return "provider.scanned" }

// ProviderTested says that a minimal model request was made.
type ProviderTested struct {
	providerEvent

	ProviderID string `json:"provider_id"`
	ModelID    string `json:"model_id,omitempty"`
	OK         bool   `json:"ok"`
	LatencyMS  int64  `json:"latency_ms"`
	Reason     string `json:"reason,omitempty"`
}

// EventName is the stored name.
func (ProviderTested) EventName() string { return "provider.tested" }
