package api

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/oapi-codegen/runtime"
)

// Why a parameter is refused, beside that it is not of its type.
var (
	ErrAbsent   = errors.New("is required")
	ErrUnstored = errors.New("holds NUL or is not UTF-8")
)

// ParameterError says that a parameter is not as the document wants it.
type ParameterError struct {
	Name string
	Err  error // ErrAbsent, ErrUnstored, or why it is not of its type
}

func (e *ParameterError) Error() string { return fmt.Sprintf("parameter %s: %v", e.Name, e.Err) }

// Unwrap is the reason.
func (e *ParameterError) Unwrap() error { return e.Err }

// optional is a parameter's first value, or nil when there is none or an empty
// one: an empty filter filters nothing.
func optional[T any](name string, values []string) (*T, error) {
	if len(values) == 0 || values[0] == "" {
		return nil, nil //nolint:nilnil // nil is the generated type's word for absent
	}
	value := new(T)
	if err := bind(values[0], value); err != nil {
		return nil, &ParameterError{name, err}
	}
	return value, nil
}

// required is optional for a parameter that has to be there.
func required[T any](name string, values []string) (T, error) {
	value, err := optional[T](name, values)
	switch {
	case err != nil:
		return *new(T), err
	case value == nil:
		return *new(T), &ParameterError{name, ErrAbsent}
	default:
		return *value, nil
	}
}

func bind(text string, value any) error {
	if strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
		return ErrUnstored
	}
	return runtime.BindStringToObject(text, value)
}

// Flag is a boolean of the query: 1, true, yes and on, in any case, are true,
// anything else is false.
type Flag bool

// Bind takes a parameter's text.
func (f *Flag) Bind(text string) error {
	switch strings.ToLower(text) {
	case "1", "true", "yes", "on":
		*f = true
	default:
		*f = false
	}
	return nil
}
