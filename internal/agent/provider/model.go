package provider

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/tidwall/gjson"
)

// maxModels bounds how many models of one provider are looked at; the largest
// known list has some hundreds.
const maxModels = 5000

func describeAll(entries []gjson.Result) []Model {
	entries = entries[:min(len(entries), maxModels)]
	models := make([]Model, 0, len(entries))
	for _, e := range entries {
		if m := describe(e); m.ID != "" {
			models = append(models, m)
		}
	}
	return models
}

// describe reads one entry of a list of models. OpenAI tells little more than a
// name; the fields below are what others add. Context sizes: context_length
// (OpenRouter, Together), context_window (Groq), max_model_len (vLLM),
// max_context_length (Mistral, LM Studio), max_input_tokens (Anthropic).
func describe(e gjson.Result) Model {
	m := Model{ID: firstString(e, "id", "name")}
	m.Label = firstString(e, "display_name", "name")
	if m.Label == "" {
		m.Label = m.ID
	}
	for _, field := range []string{"context_length", "context_window", "max_model_len", "max_context_length", "max_input_tokens"} {
		if n := e.Get(field); n.Type == gjson.Number && n.Int() > 0 {
			m.ContextTokens = n.Int()
			break
		}
	}
	m.Capabilities = capabilities(e)
	if p := e.Get("pricing"); p.IsObject() {
		m.Pricing = json.RawMessage(p.Raw)
	}
	return m
}

// capabilityNames translates the providers' words.
var capabilityNames = map[string]string{
	"chat": "chat", "completion": "chat", "completion_chat": "chat", "text": "chat",
	"tools": "tools", "function_calling": "tools", "tool_use": "tools", "trained_for_tool_use": "tools",
	"vision": "vision", "image": "vision", "image_input": "vision",
	"audio": "audio", "embedding": "embeddings", "embeddings": "embeddings",
	"streaming": "streaming",
}

// capabilities collects what a model can do: from Ollama's and LM Studio's list
// of words, Mistral's and Anthropic's object of yes and no, OpenRouter's
// modalities and parameters, and Together's type.
func capabilities(e gjson.Result) []string {
	found := map[string]bool{}
	add := func(word string) {
		if name, ok := capabilityNames[word]; ok {
			found[name] = true
		}
	}
	listed := e.Get("capabilities")
	listed.ForEach(func(key, value gjson.Result) bool {
		switch {
		case listed.IsArray():
			add(value.String())
		case value.Bool(), value.Get("supported").Bool():
			add(key.String())
		}
		return true
	})
	for _, modality := range e.Get("architecture.input_modalities").Array() {
		if modality.String() != "text" {
			add(modality.String())
		}
	}
	for _, path := range []string{"architecture.output_modalities", "supported_parameters"} {
		for _, word := range e.Get(path).Array() {
			if word.String() == "text" || word.String() == "tools" {
				add(word.String())
			}
		}
	}
	add(e.Get("type").String())
	return slices.Sorted(maps.Keys(found))
}
