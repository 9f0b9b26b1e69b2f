package eventschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Sealer encrypts the fields that must be erasable or secret. Its keys belong to
// an owner (a user or a project) and can be destroyed.
type Sealer interface {
	// Seal encrypts plain under the owner's key, which it makes if need be. The
	// key is durable before Seal returns.
	Seal(scope, owner string, plain []byte) (sealed string, err error)
	// Open decrypts what Seal returned. The error for a key that was destroyed
	// on purpose has a method Erased() bool that reports true.
	Open(sealed string) (plain []byte, err error)
}

// sealedField is one field with a seal tag:
//
//	Email string `json:"email" seal:"user"`
//
// The owner is the field of the same struct whose JSON name is user_id or
// project_id; scope "secret" belongs to the installation and has no owner. The
// optional tag erased is what the field reads as once its key is gone.
type sealedField struct {
	scope  string
	index  []int
	owner  []int
	raw    bool
	erased string
}

const erasedText = "[erased]"

// sealedFields panics on a tag that cannot work: it is a mistake in the source.
func sealedFields(t reflect.Type) []sealedField {
	var fields []sealedField
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type.Kind() == reflect.Struct && f.Tag.Get("json") != "" && f.Type.PkgPath() == t.PkgPath() {
			for _, inner := range sealedFields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				if inner.owner != nil {
					inner.owner = append([]int{i}, inner.owner...)
				}
				fields = append(fields, inner)
			}
			continue
		}
		if scope := f.Tag.Get("seal"); scope != "" {
			fields = append(fields, newSealedField(t, f, scope))
		}
	}
	return fields
}

func newSealedField(t reflect.Type, f reflect.StructField, scope string) sealedField {
	s := sealedField{scope: scope, index: f.Index, erased: f.Tag.Get("erased")}
	switch f.Type {
	case reflect.TypeFor[string](), reflect.TypeFor[*string]():
	case reflect.TypeFor[json.RawMessage]():
		s.raw = true
	default:
		panic(fmt.Sprintf("eventschema: %s.%s cannot be sealed: it is neither text nor raw JSON", t, f.Name))
	}
	if s.erased == "" {
		s.erased = erasedText
		if s.raw {
			s.erased = `"` + erasedText + `"`
		}
	}
	switch scope {
	case "user", "project":
		s.owner = ownerIndex(t, scope+"_id")
	case "secret":
	default:
		panic(fmt.Sprintf("eventschema: %s.%s has the unknown seal %q", t, f.Name, scope))
	}
	return s
}

func ownerIndex(t reflect.Type, jsonName string) []int {
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == jsonName && field.Type.Kind() == reflect.String {
			return field.Index
		}
	}
	panic(fmt.Sprintf("eventschema: %s seals a field but has no %s", t, jsonName))
}

// sealed is ev as JSON with its sealed fields replaced by ciphertext. Empty
// fields stay empty: there is nothing to hide and nothing to erase.
func sealed(ev Event, fields []sealedField, s Sealer) ([]byte, error) {
	c := reflect.New(reflect.TypeOf(ev)).Elem()
	c.Set(reflect.ValueOf(ev))
	for _, f := range fields {
		if err := f.seal(c, s); err != nil {
			return nil, err
		}
	}
	return marshal(c.Interface())
}

func (f sealedField) seal(event reflect.Value, s Sealer) error {
	field := event.FieldByIndex(f.index)
	plain, empty := f.plain(field)
	if empty {
		return nil
	}
	owner := ""
	if f.owner != nil {
		if owner = event.FieldByIndex(f.owner).String(); owner == "" {
			return fmt.Errorf("a field sealed for a %s names none", f.scope)
		}
	}
	text, err := s.Seal(f.scope, owner, plain)
	if err != nil {
		return err
	}
	f.set(field, text, `"`+text+`"`)
	return nil
}

func open(event reflect.Value, fields []sealedField, s Sealer) error {
	for _, f := range fields {
		field := event.FieldByIndex(f.index)
		text, empty := f.plain(field)
		if empty {
			continue
		}
		if f.raw {
			var err error
			if text, err = unquoted(text); err != nil {
				return fmt.Errorf("a sealed field is not sealed: %w", err)
			}
		}
		plain, err := s.Open(string(text))
		if gone, ok := errors.AsType[interface {
			error
			Erased() bool
		}](err); ok && gone.Erased() {
			f.set(field, f.erased, f.erased)
			continue
		}
		if err != nil {
			return err
		}
		f.set(field, string(plain), string(plain))
	}
	return nil
}

// unquoted is the text of a JSON string, which is hardly ever one with escapes.
func unquoted(raw json.RawMessage) ([]byte, error) {
	if n := len(raw); n >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : n-1], nil
	}
	var text string
	err := json.Unmarshal(raw, &text)
	return []byte(text), err
}

func (f sealedField) plain(field reflect.Value) (plain []byte, empty bool) {
	switch {
	case f.raw:
		return field.Bytes(), field.Len() == 0 || string(field.Bytes()) == "null"
	case field.Kind() == reflect.Pointer:
		if field.IsNil() || field.Elem().Len() == 0 {
			return nil, true
		}
		return []byte(field.Elem().String()), false
	default:
		return []byte(field.String()), field.Len() == 0
	}
}

// set never writes through a pointer: the event it was copied from shares it.
func (f sealedField) set(field reflect.Value, text, raw string) {
	switch {
	case f.raw:
		field.SetBytes([]byte(raw))
	case field.Kind() == reflect.Pointer:
		field.Set(reflect.ValueOf(&text))
	default:
		field.SetString(text)
	}
}
