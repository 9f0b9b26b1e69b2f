package dialguard

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// maxRedirects is how many hops a request may be sent on.
const maxRedirects = 5

// Why a redirect was not followed; found with errors.Is.
var (
	ErrTooManyRedirects  = errors.New("too many redirects")
	ErrCrossHostRedirect = errors.New("redirect to another host is not allowed")
	ErrRedirectScheme    = errors.New("redirect to something else than HTTP is not allowed")
)

// harmless are the headers that may follow a redirect to another host. It lists
// what is known to be safe because credentials come under any name: net/http
// itself only drops Authorization and cookies.
var harmless = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Cache-Control": true,
	"If-Modified-Since": true, "If-None-Match": true, "Range": true, "User-Agent": true,
}

// checkRedirect is the http.Client's CheckRedirect.
func (p Policy) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return ErrTooManyRedirects
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return ErrRedirectScheme
	}
	if staysHome(req, via) {
		return nil
	}
	if !p.AllowCrossHost || (req.Method != http.MethodGet && req.Method != http.MethodHead) {
		return ErrCrossHostRedirect
	}
	for name := range req.Header {
		if !harmless[name] {
			req.Header.Del(name)
		}
	}
	dropBody(req)
	return nil
}

// dropBody takes away the body that a 307 or 308 would repeat.
func dropBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // nothing of it is sent
	}
	req.Body, req.GetBody, req.ContentLength = nil, nil, 0
}

// staysHome reports whether neither this hop nor an earlier one left the first
// request's host: a stranger must not get headers back by sending us home.
func staysHome(req *http.Request, via []*http.Request) bool {
	home := via[0].URL
	for _, hop := range append(via[1:len(via):len(via)], req) {
		if !sameHost(home, hop.URL) {
			return false
		}
	}
	return true
}

// sameHost reports whether b is a's scheme, host and port, or its upgrade from
// HTTP to HTTPS on the usual ports.
func sameHost(a, b *url.URL) bool {
	if !strings.EqualFold(a.Hostname(), b.Hostname()) {
		return false
	}
	if a.Scheme == b.Scheme {
		return port(a) == port(b)
	}
	return a.Scheme == "http" && port(a) == "80" && b.Scheme == "https" && port(b) == "443"
}

func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}
