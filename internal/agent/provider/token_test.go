package provider_test

import (
	"strings"
	"testing"

	"github.com/g4fagent/g4fagent/internal/agent/provider"
)

// TestEstimateTokens compares with the larger of what cl100k_base and o200k_base
// make of each text, counted once with github.com/tiktoken-go/tokenizer v0.10.0.
func TestEstimateTokens(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text  string
		tokens      int64
		least, most float64 // the estimate's share of the count
	}{
		{"English", "The quick brown fox jumps over the lazy dog. Event sourcing keeps every change as a fact, and read models are derived from the log at any time.", 31, 1, 1.5},
		{"German", "Donaudampfschifffahrtsgesellschaftskapitän: Die Überprüfung der Geschäftsbedingungen erfolgt regelmäßig und außerordentlich gründlich.", 44, 1, 1.5},
		{"Russian", "Быстрая коричневая лиса перепрыгивает через ленивую собаку, а затем возвращается домой.", 41, 1, 2},
		{"Chinese", "事件溯源把每一次变更都记录为事实，读模型可以随时从日志中重新构建出来。", 34, 1, 2},
		{"Japanese", "イベントソーシングでは、すべての変更が事実として記録され、読み取りモデルはいつでも再構築できます。", 52, 1, 2},
		{"Arabic", "الثعلب البني السريع يقفز فوق الكلب الكسول ثم يعود إلى البيت.", 42, 1, 2},
		{"Hindi", "तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर से कूद जाती है।", 54, 1, 2},
		{"emoji", "🎉🚀👩‍💻🧑🏽‍🚒✅❌🔥💡📦🗂️", 40, 0.7, 2},
		{"Go", "func (s *Server) handle(w http.ResponseWriter, r *http.Request) {\n\tif err := s.store.Put(r.Context(), key, v); err != nil {\n\t\thttp.Error(w, err.Error(), 500)\n\t\treturn\n\t}\n}\n", 52, 1, 1.6},
		{"JSON", `{"id":"msg_01HZX","type":"message","content":[{"type":"text","text":"Hi"}],"usage":{"input_tokens":12,"output_tokens":7}}`, 37, 1, 1.6},
		{"hexadecimal", "3f2a9c81d07be4551c0d8e6f9ab2437ce1f05d8890ab34cd77e2f1a6b5c4d3e2", 48, 0.95, 1.5},
		{"UUIDs", "9f1c2a34-5b6d-4e7f-8a90-1b2c3d4e5f60 0d9e8c7b-6a5f-4e3d-2c1b-0a9f8e7d6c5b", 70, 0.95, 1.5},
		{"base64", "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg==", 67, 0.75, 1.5},
		{"punctuation", "}{)(][;:,.<>/?!@#$%^&*-_=+|~`'\"}{)(][;:,.<>/?!@#$%^&*", 35, 0.75, 1.5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			share := float64(provider.EstimateTokens(tt.text)) / float64(tt.tokens)
			if share < tt.least || share > tt.most {
				t.Errorf("the estimate is %.2f of the count, want %.2f to %.2f", share, tt.least, tt.most)
			}
		})
	}
}

func TestEstimateTokensAtTheEdges(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"": 0, " ": 0, "a": 1, "A": 1, "\n": 1, "\xff": 1, strings.Repeat(" ", 64): 4} {
		if got := provider.EstimateTokens(text); got != want {
			t.Errorf("EstimateTokens(%q) = %d, want %d", text, got, want)
		}
	}
}
