package provider

import "testing"

func TestEndpoint(t *testing.T) {
	t.Parallel()
	tests := []struct {
		raw      string
		protocol Protocol
		want     string
	}{
		{"https://api.openai.com", ProtocolOpenAI, "https://api.openai.com/v1/"},
		{"https://api.openai.com/", ProtocolOpenAI, "https://api.openai.com/v1/"},
		{" https://api.openai.com/v1 ", ProtocolOpenAI, "https://api.openai.com/v1/"},
		{"https://api.openai.com/v1//", ProtocolOpenAI, "https://api.openai.com/v1/"},
		{"http://localhost:11434", ProtocolOpenAI, "http://localhost:11434/v1/"},
		{"http://localhost:11434/v1", ProtocolOpenAI, "http://localhost:11434/v1/"},
		{"http://gateway/ollama", ProtocolOpenAI, "http://gateway/ollama/v1/"},
		{"https://openrouter.ai/api/v1", ProtocolOpenAI, "https://openrouter.ai/api/v1/"},
		{"https://generativelanguage.googleapis.com/v1beta/openai/", ProtocolOpenAI, "https://generativelanguage.googleapis.com/v1beta/openai/"},
		{"https://api.z.ai/api/paas/v4", ProtocolOpenAI, "https://api.z.ai/api/paas/v4/"},
		{"https://models.github.ai/inference/chat/completions", ProtocolOpenAI, "https://models.github.ai/inference/"},
		{"https://api.perplexity.ai/chat/completions/", ProtocolOpenAI, "https://api.perplexity.ai/"},
		{"https://h/v1#fragment", ProtocolOpenAI, "https://h/v1/"},
		{"https://api.anthropic.com", ProtocolAnthropic, "https://api.anthropic.com/"},
		{"https://api.anthropic.com/v1/", ProtocolAnthropic, "https://api.anthropic.com/"},
		{"https://gateway/anthropic/v1/messages", ProtocolAnthropic, "https://gateway/anthropic/"},
	}
	for _, tt := range tests {
		got, _, err := endpoint(tt.raw, tt.protocol)
		if err != nil || got.String() != tt.want {
			t.Errorf("endpoint(%q) = %v, %v, want %s", tt.raw, got, err, tt.want)
		}
	}
}

func TestEndpointKeepsTheQueryApart(t *testing.T) {
	t.Parallel()
	u, query, err := endpoint("https://h.test?api-version=1&a=b&a=c", ProtocolOpenAI)
	if err != nil || u.String() != "https://h.test/v1/" || query.Encode() != "a=b&a=c&api-version=1" {
		t.Errorf("%v %v %v", u, query, err)
	}
}
