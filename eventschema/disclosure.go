package eventschema

import (
	"encoding/json"
	"fmt"
	"reflect"
)

const maskedText = "[sealed]"

// Disclose is a stored event as an auditor may see it: opened, in today's form,
// with every field that has the tag secret:"true" masked. Such a field proves an
// identity or is a provider's key, whoever asks.
func (c *Catalogue) Disclose(st Stored, s Sealer) (json.RawMessage, error) {
	ev, err := c.Decode(st, s)
	if err != nil {
		return nil, err
	}
	secret := c.byName[st.Name].secret
	if len(secret) == 0 {
		return marshal(ev)
	}
	masked := reflect.New(reflect.TypeOf(ev)).Elem()
	masked.Set(reflect.ValueOf(ev))
	for _, index := range secret {
		mask(masked.FieldByIndex(index))
	}
	return marshal(masked.Interface())
}

func mask(field reflect.Value) {
	switch {
	case field.Len() == 0:
	case field.Kind() == reflect.String:
		field.SetString(maskedText)
	default:
		field.SetBytes([]byte(`"` + maskedText + `"`))
	}
}

// secretFields panics on a tag that cannot work: it is a mistake in the source.
func secretFields(t reflect.Type) [][]int {
	var fields [][]int
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type.Kind() == reflect.Struct && f.Tag.Get("json") != "" && f.Type.PkgPath() == t.PkgPath() {
			for _, inner := range secretFields(f.Type) {
				fields = append(fields, append([]int{i}, inner...))
			}
			continue
		}
		if f.Tag.Get("secret") == "" {
			continue
		}
		if f.Type != reflect.TypeFor[string]() && f.Type != reflect.TypeFor[json.RawMessage]() {
			panic(fmt.Sprintf("eventschema: %s.%s cannot be masked: it is neither text nor raw JSON", t, f.Name))
		}
		fields = append(fields, []int{i})
	}
	return fields
}
