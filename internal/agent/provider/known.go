package provider

import "slices"

// Protocol is the dialect in which a provider is spoken to.
type Protocol string

// The dialects: OpenAI's chat completions, which most others copied, and
// Anthropic's messages.
const (
	ProtocolOpenAI    Protocol = "openai"
	ProtocolAnthropic Protocol = "anthropic"
)

// Kinds of places where a provider runs.
const (
	TypeCloud = "cloud"
	TypeLocal = "local"
	TypeProxy = "proxy"
)

// Supports says what a provider can be asked for.
type Supports struct {
	Chat       bool `json:"chat"`
	Tools      bool `json:"tools"`
	Vision     bool `json:"vision"`
	Embeddings bool `json:"embeddings"`
	Audio      bool `json:"audio"`
	Streaming  bool `json:"streaming"`
}

// Definition is a provider that the house knows.
type Definition struct {
	ID       string
	Label    string
	Type     string
	BaseURL  string // empty when an installation must say it
	Supports Supports
	Protocol Protocol
}

var everything = Supports{Chat: true, Tools: true, Vision: true, Embeddings: true, Audio: true, Streaming: true}

func (s Supports) withoutAudio() Supports      { s.Audio = false; return s }
func (s Supports) withoutEmbeddings() Supports { s.Embeddings = false; return s }

var known = []Definition{
	{ID: "openai", Label: "OpenAI", Type: TypeCloud, BaseURL: "https://api.openai.com", Supports: everything, Protocol: ProtocolOpenAI},
	{ID: "anthropic", Label: "Anthropic", Type: TypeCloud, BaseURL: "https://api.anthropic.com", Supports: everything.withoutEmbeddings().withoutAudio(), Protocol: ProtocolAnthropic},
	{ID: "ollama", Label: "Ollama", Type: TypeLocal, BaseURL: "http://localhost:11434", Supports: everything.withoutAudio(), Protocol: ProtocolOpenAI},
	{ID: "g4f", Label: "G4F Auto", Type: TypeProxy, Supports: everything, Protocol: ProtocolOpenAI},
	{ID: "custom", Label: "Custom", Type: TypeProxy, Supports: everything, Protocol: ProtocolOpenAI},
}

// Known lists the providers in the order in which the API lists them. The slice
// is the caller's.
func Known() []Definition { return slices.Clone(known) }

// Lookup finds a known provider.
func Lookup(id string) (Definition, bool) {
	i := slices.IndexFunc(known, func(d Definition) bool { return d.ID == id })
	if i < 0 {
		return Definition{}, false
	}
	return known[i], true
}
