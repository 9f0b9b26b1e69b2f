package api

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/g4fagent/g4fagent/internal/fault"
)

var (
	errInvalidJSON    = fault.New(fault.Invalid, "invalid_json", "The body is not valid JSON.")
	errInvalidRequest = fault.New(fault.Invalid, "invalid_request", "The request does not fit the document.")
)

// ValidateBody holds a JSON body to the schema that the document has for the
// operation of that Go name. It answers nil for an operation without one, else a
// *fault.Error with code invalid_request, whose details.field is the path of the
// member that does not fit, such as "time_range.from" or "tags.0". When several
// do not fit, it is the first of them by its path. It is safe for concurrent use.
func ValidateBody(operation string, raw []byte) error {
	schema, ok := bodySchemas()[operation]
	if !ok {
		return nil
	}
	var body any
	if err := json.Unmarshal(raw, &body); err != nil {
		return errInvalidJSON
	}
	err := schema.Validate(body)
	if err == nil {
		return nil
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return fmt.Errorf("validate body of %s: %w", operation, err)
	}
	return firstOf(misfits(invalid))
}

// Compile compiles the schemas of all bodies, which ValidateBody otherwise does
// when it is called first.
func Compile() { bodySchemas() }

// bodySchemas are compiled by the operation's name. That they compile is tested,
// so a failure is no error of a request's.
var bodySchemas = sync.OnceValue(func() map[string]*jsonschema.Schema {
	const url = "openapi.json"
	var document any
	if err := json.Unmarshal(JSON(), &document); err != nil {
		panic(fmt.Sprintf("decode the OpenAPI document: %v", err))
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	compiler.UseRegexpEngine(compilePattern)
	if err := compiler.AddResource(url, document); err != nil {
		panic(fmt.Sprintf("load the OpenAPI document: %v", err))
	}
	schemas := make(map[string]*jsonschema.Schema)
	for _, o := range Operations() {
		if o.Body == JSONBody {
			schemas[o.Name] = compiler.MustCompile(fmt.Sprintf("%s#/paths/%s/%s/requestBody/content/application~1json/schema",
				url, pointerEscape.Replace(o.Path), strings.ToLower(o.Method)))
		}
	}
	return schemas
})

var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")

// misfit is a member that does not fit, and why.
type misfit struct{ path, text string }

func firstOf(all []misfit) error {
	first := slices.MinFunc(all, func(a, b misfit) int { return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.text, b.text)) })
	if first.path == "" {
		return errInvalidRequest.Saying("The body %s.", first.text)
	}
	return errInvalidRequest.Saying("%s %s.", first.path, first.text).With("field", first.path)
}

// misfits are the ends of a validation error's tree.
func misfits(e *jsonschema.ValidationError) []misfit {
	if len(e.Causes) > 0 {
		var all []misfit
		for _, cause := range e.Causes {
			all = append(all, misfits(cause)...)
		}
		return all
	}
	path := strings.Join(e.InstanceLocation, ".")
	if missing, ok := e.ErrorKind.(*kind.Required); ok {
		return []misfit{{strings.TrimPrefix(path+"."+missing.Missing[0], "."), "is required"}}
	}
	return []misfit{{path, reason(e.ErrorKind)}}
}

// reason says in words what a keyword wants. It never repeats the value: that may
// be a secret.
func reason(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "must be " + list(k.Want) + ", not " + article(k.Got)
	case *kind.Enum:
		return "must be one of " + joined(k.Want)
	case *kind.Const:
		return fmt.Sprintf("must be %v", k.Want)
	case *kind.Pattern:
		if k.Want == notBlank {
			return "must not be blank"
		}
		return "must match " + k.Want
	case *kind.Format:
		return "is no valid " + k.Want
	case *kind.MinLength:
		return "must have at least " + count(k.Want, "character")
	case *kind.MaxLength:
		return "must have at most " + count(k.Want, "character")
	case *kind.MinItems:
		return "must have at least " + count(k.Want, "item")
	case *kind.MaxItems:
		return "must have at most " + count(k.Want, "item")
	case *kind.MaxProperties:
		return "must have at most " + count(k.Want, "member")
	case *kind.Minimum:
		return "must be at least " + k.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + k.Want.RatString()
	default:
		return "does not fit the document"
	}
}

func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return strconv.Itoa(n) + " " + of + "s"
}

func list(types []string) string {
	all := make([]string, len(types))
	for i, t := range types {
		all[i] = article(t)
	}
	return strings.Join(all, " or ")
}

func article(jsonType string) string {
	switch jsonType {
	case "string":
		return "text"
	case "null":
		return "null"
	case "array":
		return "a list"
	case "object", "integer":
		return "an " + jsonType
	default:
		return "a " + jsonType
	}
}

func joined(values []any) string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = fmt.Sprint(v)
	}
	return strings.Join(all, ", ")
}
