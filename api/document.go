// Package api is the HTTP surface: the OpenAPI document, the Go code generated
// from it, and what the rest of the program asks the document. openapi.yaml is
// written by hand; everything else follows it.
package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/g4fagent/g4fagent/internal/identity"
)

var (
	//go:embed openapi.yaml
	documentYAML []byte
	//go:embed overlay.yaml
	overlayYAML []byte
)

// BodyKind is what an operation takes as its body.
type BodyKind uint8

// The kinds of bodies.
const (
	NoBody   BodyKind = iota
	JSONBody          // an object, described by the document
	RawBody           // bytes, handed on as they arrive
)

// Operation is what the document says about one operation.
type Operation struct {
	// ID is the document's operationId, Name is the operation's in Go.
	ID, Name string
	// Method is an HTTP method in capitals.
	Method string
	// Path is below the base path, with parameters in braces; GinPath is the
	// same as gin writes it.
	Path, GinPath string
	Permission    identity.Permission
	// Public operations need no credentials.
	Public bool
	// Extension operations are not among the reference's 81.
	Extension bool
	// Stream operations answer until one side ends them.
	Stream bool

	// Parameters are all of the operation's, of its path, query and headers.
	Parameters []Parameter

	Body BodyKind
	// BodyRequired says that a missing body, and {}, are refused.
	BodyRequired bool
	// BodyFirst says that the body is judged before it is asked whether the
	// path's resources exist.
	BodyFirst bool
	// MaxBytes bounds the body; it is 0 for operations that change nothing by a
	// GET.
	MaxBytes int64
	// BodySchema is the body's JSON Schema; its references lead into JSON().
	BodySchema json.RawMessage

	// ErrorCodes are the operation's own, then those that any may answer.
	ErrorCodes []string
}

// ErrorCode is what the document says about one code.
type ErrorCode struct {
	Status      int    `yaml:"status"`
	Retryable   bool   `yaml:"retryable"`
	Description string `yaml:"description"`
}

// StreamEvent is how a stored event is shown in a session's stream.
type StreamEvent struct {
	// Type is the frame's event and the type in its data.
	Type string `yaml:"event"`
	// Data names the schema of what happened.
	Data string `yaml:"data"`
}

// YAML is the document as it was written. It must not be changed.
func YAML() []byte { return documentYAML }

// JSON is the document in the same order. It must not be changed.
func JSON() []byte { return parsed().json }

// Operations are all of the document's, in its order. They must not be changed.
func Operations() []Operation { return parsed().operations }

// Errors are the stable codes of errors. They must not be changed.
func Errors() map[string]ErrorCode { return parsed().errors }

// StreamEvents says by an event's stored name how a session's stream shows it;
// others it does not show. It must not be changed.
func StreamEvents() map[string]StreamEvent { return parsed().streamEvents }

type document struct {
	json         []byte
	operations   []Operation
	errors       map[string]ErrorCode
	streamEvents map[string]StreamEvent
}

// parsed panics when the document cannot be read: it is a part of the program,
// and no other program has it.
var parsed = sync.OnceValue(func() document {
	d, err := parse()
	if err != nil {
		panic(fmt.Sprintf("read the OpenAPI document: %v", err))
	}
	return d
})

// written is an operation as the document has it.
type written struct {
	ID          string                 `yaml:"operationId"`
	Tags        []string               `yaml:"tags"`
	Permission  identity.Permission    `yaml:"x-permission"`
	MaxBytes    int64                  `yaml:"x-max-bytes"`
	BodyFirst   bool                   `yaml:"x-body-first"`
	Codes       []string               `yaml:"x-error-codes"`
	Events      map[string]StreamEvent `yaml:"x-stream-events"`
	Parameters  []Parameter            `yaml:"parameters"`
	RequestBody struct {
		Required bool `yaml:"required"`
		Content  map[string]struct {
			Schema yaml.Node `yaml:"schema"`
		} `yaml:"content"`
	} `yaml:"requestBody"`
}

func parse() (document, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(documentYAML, &root); err != nil {
		return document{}, err
	}
	text, err := toJSON(&root)
	if err != nil {
		return document{}, err
	}
	names, err := goNames()
	if err != nil {
		return document{}, err
	}
	var top struct {
		Paths  yaml.Node            `yaml:"paths"`
		Errors map[string]ErrorCode `yaml:"x-errors"`
		Common []string             `yaml:"x-common-error-codes"`
		Shared struct {
			Parameters map[string]Parameter `yaml:"parameters"`
		} `yaml:"components"`
	}
	if err := root.Decode(&top); err != nil {
		return document{}, err
	}
	d := document{json: text, errors: top.Errors}
	for path, item := range pairs(&top.Paths) {
		for method, node := range pairs(item) {
			var w written
			if err := node.Decode(&w); err != nil {
				return document{}, fmt.Errorf("%s %s: %w", method, path, err)
			}
			o, err := w.operation(method, path)
			if err != nil {
				return document{}, fmt.Errorf("%s: %w", w.ID, err)
			}
			o.Name = names[w.ID]
			if o.Parameters, err = resolved(w.Parameters, top.Shared.Parameters); err != nil {
				return document{}, fmt.Errorf("%s: %w", w.ID, err)
			}
			o.ErrorCodes = append(o.ErrorCodes, top.Common...)
			d.operations = append(d.operations, o)
			if w.Events != nil {
				d.streamEvents = w.Events
			}
		}
	}
	return d, nil
}

func (w written) operation(method, path string) (Operation, error) {
	o := Operation{
		ID: w.ID, Method: strings.ToUpper(method), Path: path, GinPath: pathParameter.ReplaceAllString(path, ":$1"),
		Permission: w.Permission, Public: w.Permission == identity.Public,
		Extension: slices.Contains(w.Tags, "extension"), Stream: w.Events != nil,
		BodyRequired: w.RequestBody.Required, BodyFirst: w.BodyFirst, MaxBytes: w.MaxBytes, ErrorCodes: w.Codes,
	}
	content, isJSON := w.RequestBody.Content["application/json"]
	switch {
	case isJSON:
		schema, err := toJSON(&content.Schema)
		if err != nil {
			return Operation{}, err
		}
		o.Body, o.BodySchema = JSONBody, schema
	case len(w.RequestBody.Content) > 0:
		o.Body = RawBody
	}
	return o, nil
}

var (
	pathParameter = regexp.MustCompile(`\{([^}]+)\}`)
	targetedID    = regexp.MustCompile(`@\.operationId == '([^']+)'`)
)

// goNames are the operations' names in Go by their ids: what the overlay renames
// for the generator.
func goNames() (map[string]string, error) {
	var overlay struct {
		Actions []struct {
			Target string `yaml:"target"`
			Update struct {
				ID string `yaml:"operationId"`
			} `yaml:"update"`
		} `yaml:"actions"`
	}
	if err := yaml.Unmarshal(overlayYAML, &overlay); err != nil {
		return nil, fmt.Errorf("read the overlay: %w", err)
	}
	names := make(map[string]string, len(overlay.Actions))
	for _, a := range overlay.Actions {
		if id := targetedID.FindStringSubmatch(a.Target); id != nil {
			names[id[1]] = a.Update.ID
		}
	}
	return names, nil
}
