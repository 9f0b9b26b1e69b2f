package httpx

import "net/http"

// secure writes the headers that every answer carries. Those of the API are
// stored nowhere and never displayed as a page; what stands beside it may say
// otherwise.
func secure(header http.Header, tls bool) {
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	header.Set("Cache-Control", "no-store")
	if tls {
		header.Set("Strict-Transport-Security", "max-age=31536000")
	}
}
