package settings

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

func refused(field, why string) error {
	return ErrInvalid.Saying("%s %s.", field, why).With("field", field)
}

// check holds the members that mean something to the platform to what they mean.
// Whatever else there is in the settings is the clients' own, and must only not
// be a credential: nothing but a provider's key and headers is kept secret.
func check(asked object) error {
	for _, name := range sorted(asked) {
		if err := checkMember(name, asked[name]); err != nil {
			return err
		}
	}
	return nil
}

func sorted(o object) []string { return slices.Sorted(maps.Keys(o)) }

func checkMember(name string, value any) error {
	switch name {
	case "memory_limit_gb":
		return checkAmount(name, value)
	case "telemetry_enabled":
		return checkFlag(name, value)
	case "default_provider_id", "default_model_id":
		return checkName(name, value)
	case "providers":
		return checkProviders(name, value)
	case "ui":
		return checkUI(name, value)
	default:
		return checkFree(name, name, value)
	}
}

func checkAmount(field string, value any) error {
	n, ok := value.(json.Number)
	if !ok || strings.HasPrefix(n.String(), "-") {
		return refused(field, "must be a number that is not negative")
	}
	return nil
}

func checkFlag(field string, value any) error {
	if _, ok := value.(bool); !ok {
		return refused(field, "must be true or false")
	}
	return nil
}

func checkText(field string, value any) error {
	if _, ok := value.(string); !ok {
		return refused(field, "must be text")
	}
	return nil
}

func checkName(field string, value any) error {
	if s, ok := value.(string); !ok || strings.TrimSpace(s) == "" {
		return refused(field, "must be text that is not blank")
	}
	return nil
}

func checkUI(field string, value any) error {
	ui, ok := value.(object)
	if !ok {
		return refused(field, "must be an object")
	}
	for _, name := range sorted(ui) {
		err := checkFree(field+"."+name, name, ui[name])
		if err == nil && (name == "theme" || name == "accent") {
			err = checkText(field+"."+name, ui[name])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func checkProviders(field string, value any) error {
	list, ok := value.([]any)
	if !ok {
		return refused(field, "must be a list")
	}
	seen := map[string]bool{}
	for i, item := range list {
		field := fmt.Sprintf("%s.%d", field, i)
		entry, ok := item.(object)
		if !ok {
			return refused(field, "must be an object")
		}
		if err := checkName(field+".provider_id", entry["provider_id"]); err != nil {
			return err
		}
		for _, name := range sorted(entry) {
			if err := checkProvider(field+"."+name, name, entry[name]); err != nil {
				return err
			}
		}
		id, _ := entry["provider_id"].(string)
		if seen[id] {
			return refused(field+".provider_id", "is in the list twice")
		}
		seen[id] = true
	}
	return nil
}

func checkProvider(field, name string, value any) error {
	switch name {
	case "provider_id":
		return nil // checked first, in every entry
	case "enabled":
		return checkFlag(field, value)
	case "base_url":
		return checkBaseURL(field, value)
	case "api_key":
		if value == nil {
			return nil
		}
		return checkSecret(field, value)
	case "headers":
		return checkHeaders(field, value)
	case "extra":
		return checkExtra(field, value)
	case "models":
		return checkModels(field, value)
	default:
		return checkFree(field, name, value)
	}
}

// checkBaseURL refuses what would put a credential where everybody may read it.
func checkBaseURL(field string, value any) error {
	raw, ok := value.(string)
	if !ok {
		return refused(field, "must be text")
	}
	if raw == "" {
		return nil
	}
	u, err := url.Parse(strings.TrimSpace(raw))
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Opaque != "":
		return refused(field, "must begin with http:// or https:// and name a host")
	case u.User != nil:
		return refused(field, "must not hold a user or password: they belong in headers")
	case u.Fragment != "":
		return refused(field, "must not have a fragment")
	}
	for parameter := range u.Query() {
		if parameter != "api-version" {
			return refused(field, "can have api-version in its query and nothing else: credentials belong in api_key or headers")
		}
	}
	return nil
}

// checkSecret wants what a header can hold. It never repeats the value.
func checkSecret(field string, value any) error {
	s, ok := value.(string)
	switch {
	case !ok:
		return refused(field, "must be text")
	case strings.TrimSpace(s) == "":
		return refused(field, "is blank: to keep the secret say \"set\", to remove it leave a header out or make api_key null")
	case strings.ContainsFunc(strings.TrimSpace(s), unicode.IsControl):
		return refused(field, "has characters that no HTTP header can hold")
	}
	return nil
}

// headerName is a token of RFC 9110, 5.6.2.
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// framing are the headers that the HTTP client makes itself.
var framing = []string{"host", "connection", "content-length", "content-type", "transfer-encoding", "accept-encoding"}

func checkHeaders(field string, value any) error {
	headers, ok := value.(object)
	if !ok {
		return refused(field, "must be an object")
	}
	seen := map[string]bool{}
	for _, name := range sorted(headers) {
		field, lower := field+"."+name, strings.ToLower(name)
		switch {
		case !headerName.MatchString(name):
			return refused(field, "is no name of an HTTP header")
		case slices.Contains(framing, lower):
			return refused(field, "cannot be configured")
		case seen[lower]:
			return refused(field, "is there twice")
		}
		seen[lower] = true
		if err := checkSecret(field, headers[name]); err != nil {
			return err
		}
	}
	return nil
}

// checkExtra keeps to what a request may be given beside its conversation.
func checkExtra(field string, value any) error {
	extra, ok := value.(object)
	if !ok {
		return refused(field, "must be an object")
	}
	for _, name := range []string{"model", "messages", "stream"} {
		if _, ok := extra[name]; ok {
			return refused(field+"."+name, "is not for the settings to say")
		}
	}
	return checkFree(field, "extra", extra)
}

func checkModels(field string, value any) error {
	list, ok := value.([]any)
	if !ok {
		return refused(field, "must be a list")
	}
	for i, item := range list {
		if err := checkName(fmt.Sprintf("%s.%d", field, i), item); err != nil {
			return err
		}
	}
	return nil
}
