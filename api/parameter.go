package api

import (
	"fmt"
	"strings"
)

// Parameter is what the document says about a parameter of an operation.
type Parameter struct {
	Name        string `yaml:"name"`
	In          string `yaml:"in"` // path, query or header
	Required    bool   `yaml:"required"`
	Description string `yaml:"description"`
	Schema      struct {
		Type    string `yaml:"type"`
		Format  string `yaml:"format"`
		Minimum *int64 `yaml:"minimum"`
		Maximum *int64 `yaml:"maximum"`
	} `yaml:"schema"`

	Ref string `yaml:"$ref"` // empty in Operation.Parameters
}

const parameterRefs = "#/components/parameters/"

// resolved are the parameters with what they refer to in place of references.
func resolved(list []Parameter, shared map[string]Parameter) ([]Parameter, error) {
	found := make([]Parameter, len(list))
	for i, p := range list {
		if p.Ref != "" {
			name, local := strings.CutPrefix(p.Ref, parameterRefs)
			referred, there := shared[name]
			if !local || !there {
				return nil, fmt.Errorf("parameter %s is not in the document", p.Ref)
			}
			p = referred
		}
		found[i] = p
	}
	return found, nil
}

// Expected says in words what values the parameter's schema takes.
func (p Parameter) Expected() string {
	switch {
	case p.Schema.Format == "date-time":
		return "a time as in RFC 3339 with an offset, such as 2006-01-02T15:04:05Z"
	case p.Schema.Type == "integer":
		return "an integer" + p.bounds()
	default:
		return "a " + p.Schema.Type
	}
}

func (p Parameter) bounds() string {
	low, high := p.Schema.Minimum, p.Schema.Maximum
	switch {
	case low != nil && high != nil:
		return fmt.Sprintf(" from %d to %d", *low, *high)
	case low != nil:
		return fmt.Sprintf(", at least %d", *low)
	case high != nil:
		return fmt.Sprintf(", at most %d", *high)
	default:
		return ""
	}
}
