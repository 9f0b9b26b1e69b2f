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
	// ChatModels are well-known models for a small question, the cheapest first. A
	// provider may offer none of them. Not to be changed.
	ChatModels []string
}

var everything = Supports{Chat: true, Tools: true, Vision: true, Embeddings: true, Audio: true, Streaming: true}

func (s Supports) withoutAudio() Supports      { s.Audio = false; return s }
func (s Supports) withoutEmbeddings() Supports { s.Embeddings = false; return s }

// OpenAI's list does not say which of its models chat; it begins with others.
var (
	openAIChat    = []string{"gpt-4o-mini", "gpt-4.1-mini", "gpt-5-mini", "gpt-3.5-turbo"}
	anthropicChat = []string{"claude-haiku-4-5", "claude-haiku-4-5-20251001", "claude-3-5-haiku-20241022"}
)

var known = []Definition{
	{ID: "openai", Label: "OpenAI", Type: TypeCloud, BaseURL: "https://api.openai.com", Supports: everything, Protocol: ProtocolOpenAI, ChatModels: openAIChat},
	{ID: "anthropic", Label: "Anthropic", Type: TypeCloud, BaseURL: "https://api.anthropic.com", Supports: everything.withoutEmbeddings().withoutAudio(), Protocol: ProtocolAnthropic, ChatModels: anthropicChat},
	{ID: "ollama", Label: "Ollama", Type: TypeLocal, BaseURL: "http://localhost:11434", Supports: everything.withoutAudio(), Protocol: ProtocolOpenAI},
	{ID: "g4f", Label: "G4F Auto", Type: TypeProxy, Supports: everything, Protocol: ProtocolOpenAI, ChatModels: openAIChat},
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
