package commands

import (
	"math"
	"reflect"
)

const (
	// baseWeight is what an entry of the cache costs beside the state.
	baseWeight = 512
	// nodeWeight is what an element of a list or a map costs beside its content.
	nodeWeight = 48
)

// weigher is a state, or a part of one, that knows how many bytes it holds.
type weigher interface{ Weight() int }

// lister is a part of a state that is a list of ids, shared between states.
type lister interface{ Len() int }

// idWeight is what one id in such a list costs.
const idWeight = 96

// weigh estimates how many bytes a folded state keeps in memory. What states
// share is counted for each of them, so that the cache is never larger than it
// seems.
func weigh[S any](f folded[S]) uint32 {
	w := baseWeight + f.Keys.len()*keyWeight + sizeOf(reflect.ValueOf(&f.State).Elem())
	return uint32(min(w, math.MaxInt32))
}

// sizeOf is how many bytes v refers to, in what is exported: a snapshot has no
// more of it either.
func sizeOf(v reflect.Value) int {
	switch v.Kind() {
	case reflect.String:
		return v.Len()
	case reflect.Slice:
		return sizeOfList(v)
	case reflect.Map:
		size := 0
		for entries := v.MapRange(); entries.Next(); {
			size += nodeWeight + sizeOf(entries.Key()) + sizeOf(entries.Value())
		}
		return size
	case reflect.Struct, reflect.Pointer:
		return sizeOfPart(v)
	default:
		return 0
	}
}

func sizeOfList(v reflect.Value) int {
	of := v.Type().Elem()
	size := v.Len() * int(of.Size())
	switch of.Kind() {
	case reflect.String, reflect.Slice, reflect.Struct, reflect.Map, reflect.Pointer:
		for i := range v.Len() {
			size += sizeOf(v.Index(i))
		}
	default: // bytes and numbers refer to nothing
	}
	return size
}

func sizeOfPart(v reflect.Value) int {
	switch part := v.Interface().(type) {
	case weigher:
		return part.Weight()
	case lister:
		return part.Len() * idWeight
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return 0
		}
		return int(v.Type().Elem().Size()) + sizeOf(v.Elem())
	}
	size := 0
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() {
			size += sizeOf(v.Field(i))
		}
	}
	return size
}
