package provider

import (
	"bytes"
	"encoding/json"
	"maps"
)

// The model parameters that pass from a session to a provider, by dialect, each
// with its name there.
var (
	openAIParams = map[string]string{
		"temperature": "temperature", "top_p": "top_p", "stop": "stop", "seed": "seed",
		"presence_penalty": "presence_penalty", "frequency_penalty": "frequency_penalty",
		"logit_bias": "logit_bias", "response_format": "response_format",
		"reasoning_effort": "reasoning_effort", "verbosity": "verbosity",
		// Not OpenAI's own, but of many who speak its dialect.
		"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repetition_penalty",
	}
	anthropicParams = map[string]string{
		"temperature": "temperature", "top_p": "top_p", "top_k": "top_k",
		"stop": "stop_sequences", "stop_sequences": "stop_sequences", "thinking": "thinking",
	}
	// limitParams all bound the answer: callers name what they know.
	limitParams = []string{"max_tokens", "max_completion_tokens", "max_output_tokens"}
)

// tuning is what a request asks of a model beside its messages.
type tuning struct {
	fields map[string]any
	limit  int64 // zero when nobody said
}

// tune reads req's parameters for a dialect.
func tune(req Request, names map[string]string) (tuning, error) {
	params, err := object(req.Params)
	if err != nil {
		return tuning{}, invalid("the session's model parameters are not a JSON object")
	}
	t := tuning{fields: map[string]any{}, limit: req.MaxOutputTokens}
	for name, value := range params {
		if there, ok := names[name]; ok && !isNull(value) {
			t.fields[there] = value
		}
	}
	for _, name := range limitParams {
		value, ok := params[name]
		if !ok || isNull(value) || t.limit > 0 {
			continue
		}
		if err := json.Unmarshal(value, &t.limit); err != nil || t.limit < 1 {
			return tuning{}, invalid("the model parameter " + name + " is not a positive integer")
		}
	}
	if req.Temperature != nil {
		t.fields["temperature"] = *req.Temperature
	}
	return t, nil
}

// with is t's fields under an installation's extra ones; omit stands for null.
func (t tuning) with(extra map[string]json.RawMessage, omit any) map[string]any {
	fields := maps.Clone(t.fields)
	for name, value := range extra {
		if isNull(value) {
			fields[name] = omit
		} else {
			fields[name] = value
		}
	}
	return fields
}

// parseExtra reads Config.Extra.
func parseExtra(raw json.RawMessage) (map[string]json.RawMessage, error) {
	extra, err := object(raw)
	if err != nil {
		return nil, invalid("the extra request fields are not a JSON object")
	}
	for _, name := range []string{"model", "messages", "stream"} {
		if _, ok := extra[name]; ok {
			return nil, invalid("the extra request fields cannot hold " + name)
		}
	}
	return extra, nil
}

// object reads a JSON object; absent and null are empty.
func object(raw json.RawMessage) (map[string]json.RawMessage, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	return fields, nil
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }
