package provider

import (
	"net/url"
	"regexp"
	"strings"
)

// versioned finds a path segment such as v1, v4 or v1beta.
var versioned = regexp.MustCompile(`(^|/)v\d+[a-z0-9]*(/|$)`)

// endpoint turns what people write as a base URL into what the SDKs append their
// paths to, always ending in a slash, and its query apart.
//
// OpenAI's SDK appends "chat/completions". A URL without a version in its path
// gets /v1, as https://api.openai.com and http://localhost:11434 need; one with a
// version anywhere in its path is taken as it is. One that ends in
// /chat/completions names the endpoint itself, which is the way to say that there
// is no version. Anthropic's SDK appends "v1/messages", so /v1 or /v1/messages at
// the end is dropped.
func endpoint(raw string, protocol Protocol) (base *url.URL, query url.Values, err error) {
	u, parseErr := url.Parse(strings.TrimSpace(raw))
	switch {
	case parseErr != nil:
		// The parser's words quote the URL, which may hold a credential.
		return nil, nil, invalid("base_url is not a URL")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.Opaque != "":
		return nil, nil, invalid("base_url must begin with http:// or https:// and name a host")
	case u.User != nil:
		return nil, nil, invalid("base_url must not hold a user or password: use headers")
	}
	query = u.Query()
	path := strings.TrimRight(u.Path, "/")
	if protocol == ProtocolAnthropic {
		path = strings.TrimSuffix(strings.TrimSuffix(path, "/messages"), "/v1")
	} else {
		path = openAIPath(path)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: path + "/"}, query, nil
}

func openAIPath(path string) string {
	if whole, ok := strings.CutSuffix(path, "/chat/completions"); ok {
		return whole
	}
	if versioned.MatchString(path) {
		return path
	}
	return path + "/v1"
}
