package api

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"
)

// toJSON is a YAML node as JSON, its members in their order.
func toJSON(node *yaml.Node) ([]byte, error) {
	var out bytes.Buffer
	if err := encodeNode(jsontext.NewEncoder(&out), node); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

func encodeNode(out *jsontext.Encoder, node *yaml.Node) error {
	switch node.Kind {
	case yaml.DocumentNode:
		return encodeNode(out, node.Content[0])
	case yaml.AliasNode:
		return encodeNode(out, node.Alias)
	case yaml.MappingNode:
		if err := out.WriteToken(jsontext.BeginObject); err != nil {
			return err
		}
		for key, value := range pairs(node) {
			if err := out.WriteToken(jsontext.String(key)); err != nil {
				return err
			}
			if err := encodeNode(out, value); err != nil {
				return err
			}
		}
		return out.WriteToken(jsontext.EndObject)
	case yaml.SequenceNode:
		if err := out.WriteToken(jsontext.BeginArray); err != nil {
			return err
		}
		for _, item := range node.Content {
			if err := encodeNode(out, item); err != nil {
				return err
			}
		}
		return out.WriteToken(jsontext.EndArray)
	default:
		return encodeScalar(out, node)
	}
}

func encodeScalar(out *jsontext.Encoder, node *yaml.Node) error {
	switch node.Tag {
	case "!!str":
		return out.WriteToken(jsontext.String(node.Value))
	case "!!null":
		return out.WriteToken(jsontext.Null)
	case "!!bool", "!!int", "!!float":
		return out.WriteValue(jsontext.Value(node.Value)) // the document writes them as JSON does
	default:
		return fmt.Errorf("line %d: %s has no JSON form", node.Line, node.Tag)
	}
}

// pairs are the members of a mapping in their order.
func pairs(node *yaml.Node) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if !yield(node.Content[i].Value, node.Content[i+1]) {
				return
			}
		}
	}
}
