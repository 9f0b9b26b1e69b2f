package settings

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/g4fagent/g4fagent/eventschema"
)

// sealed stands for a secret in what is told of a change.
const sealed = `"[sealed]"`

// confided is a secret where a document is compared: it differs from another one
// by its value, and shows none.
type confided string

// MarshalJSON writes what everybody may see of a secret.
func (confided) MarshalJSON() ([]byte, error) { return []byte(sealed), nil }

// changes are the leaves in which next differs from v, by path. An array is a
// leaf, but for the providers', whose entries are told apart by their ids.
func (v version) changes(next version) []eventschema.SettingsChange {
	var d differences
	d.compare("", v.comparable(), next.comparable())
	d.compareOrder(v.providerIDs(), next.providerIDs())
	slices.SortStableFunc(d.found, func(a, b eventschema.SettingsChange) int { return strings.Compare(a.Path, b.Path) })
	return d.found
}

// comparable is v's document with an object of the providers by their ids, and
// with the secrets themselves.
func (v version) comparable() object {
	c := maps.Clone(v.document)
	providers := object{}
	for id, entry := range v.entries() {
		e := maps.Clone(entry)
		delete(e, "provider_id")
		if secret, ok := v.secrets[keyPath(id)]; ok {
			e["api_key"] = confided(secret)
		}
		if headers, ok := e["headers"].(object); ok {
			e["headers"] = v.confidedHeaders(id, headers)
		}
		providers[id] = e
	}
	c["providers"] = providers
	return c
}

func (v version) confidedHeaders(id string, headers object) object {
	values := object{}
	for name := range headers {
		values[name] = confided(v.secrets[headerPath(id, name)])
	}
	return values
}

type differences struct{ found []eventschema.SettingsChange }

// absent is a side of a comparison that is not there.
type absent struct{}

func (d *differences) compare(path string, from, to any) {
	if reflect.DeepEqual(from, to) {
		return
	}
	a, aHas := members(from)
	b, bHas := members(to)
	if !aHas || !bHas || len(a)+len(b) == 0 {
		d.found = append(d.found, eventschema.SettingsChange{Path: path, From: shown(from), To: shown(to)})
		return
	}
	for name := range a {
		d.compare(below(path, name), a[name], member(b, name))
	}
	for name := range b {
		if _, both := a[name]; !both {
			d.compare(below(path, name), absent{}, b[name])
		}
	}
}

// members are those of an object; what is not there has none.
func members(v any) (object, bool) {
	if v == (absent{}) {
		return nil, true
	}
	o, ok := v.(object)
	return o, ok
}

func member(o object, name string) any {
	if v, ok := o[name]; ok {
		return v
	}
	return absent{}
}

func shown(v any) json.RawMessage {
	if v == (absent{}) {
		return json.RawMessage("null")
	}
	return text(v)
}

// compareOrder tells of providers in another order, of which no entry tells.
func (d *differences) compareOrder(from, to []string) {
	onOneSide := func(id string) bool { return !slices.Contains(from, id) || !slices.Contains(to, id) }
	a := slices.DeleteFunc(slices.Clone(from), onOneSide)
	b := slices.DeleteFunc(slices.Clone(to), onOneSide)
	if !slices.Equal(a, b) {
		d.found = append(d.found, eventschema.SettingsChange{Path: "/providers", From: text(from), To: text(to)})
	}
}

var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")

// below is the JSON pointer (RFC 6901) of a member.
func below(path, name string) string { return path + "/" + pointerEscape.Replace(name) }
