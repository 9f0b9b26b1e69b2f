package settings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
)

// object is a JSON object. Numbers in it are json.Number: they keep their text.
type object = map[string]any

func parse(raw json.RawMessage) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var o object
	if err := dec.Decode(&o); err != nil || o == nil {
		return nil, ErrInvalid.Saying("The settings must be a JSON object.")
	}
	return o, nil
}

// text is v, whose members come in the order of their names, as JSON. It has no
// error: v was parsed from JSON, or is made of strings.
func text(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("settings: write what was read: %v", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// merged is base under over. It shares values with both and changes neither.
func merged(base, over object) object {
	m := maps.Clone(base)
	for name, value := range over {
		if o, ok := value.(object); ok {
			below, _ := base[name].(object)
			if below == nil {
				below = object{}
			}
			value = merged(below, o)
		}
		m[name] = value
	}
	return m
}
