package httpx

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serve runs a server until its context ends, and hands out what Serve returned.
func serve(t *testing.T, o ServerOptions, handler func(*Server) http.Handler) (s *Server, stop func(), served <-chan error) {
	t.Helper()
	o.Address = "127.0.0.1:0"
	s, err := Listen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	h := handler(s)
	go func() { done <- s.Serve(ctx, h) }()
	t.Cleanup(stop)
	return s, stop, done
}

// opened is a response whose body has not been read.
type opened struct {
	status, proto int
	header        http.Header
	body          io.Reader
}

func get(t *testing.T, client *http.Client, url string) opened {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer admin-token")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return opened{res.StatusCode, res.ProtoMajor, res.Header, res.Body}
}

func TestServer(t *testing.T) {
	t.Parallel()

	t.Run("ends streams and lets requests end when it shuts down", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		entered, proceed := make(chan struct{}, 2), make(chan struct{})
		s, stop, served := serve(t, ServerOptions{}, func(s *Server) http.Handler {
			r.act = func(_ context.Context, w http.ResponseWriter, req *http.Request) error {
				if strings.HasPrefix(req.URL.Path, "/api/v1/stream/") {
					_, _ = io.WriteString(w, "data: 1\n\n")
					_ = http.NewResponseController(w).Flush()
					<-s.Streams().Done()
					_, err := io.WriteString(w, "event: end\ndata: {}\n\n")
					return err
				}
				entered <- struct{}{}
				<-proceed
				return reply(w, "{}")
			}
			return r
		})
		url := "http://" + s.Addr().String()
		stream := get(t, http.DefaultClient, url+"/api/v1/stream/t1")
		slow := make(chan int, 1)
		go func() { slow <- get(t, http.DefaultClient, url+"/api/v1/things").status }()
		within(t, "the slow request", entered)

		stop()
		frames := make(chan string, 1)
		go func() {
			text, _ := io.ReadAll(stream.body)
			frames <- string(text)
		}()
		if text := within(t, "the end of the stream", frames); text != "data: 1\n\nevent: end\ndata: {}\n\n" {
			t.Errorf("the stream was %q", text)
		}
		if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
			t.Error("a connection is still taken")
		}
		close(proceed)
		if status := within(t, "the slow answer", slow); status != http.StatusOK {
			t.Errorf("the slow request got %d", status)
		}
		if err := within(t, "Serve", served); err != nil {
			t.Errorf("Serve returned %v", err)
		}
	})

	t.Run("cuts off what does not end in time", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		entered, _ := blocking(r)
		s, stop, served := serve(t, ServerOptions{Drain: 50 * time.Millisecond}, func(*Server) http.Handler { return r })
		failed := make(chan error, 1)
		go func() {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr().String()+"/api/v1/stream/t1", nil)
			req.Header.Set("Authorization", "Bearer admin-token")
			res, err := http.DefaultClient.Do(req)
			if err == nil {
				_, err = io.ReadAll(res.Body)
				_ = res.Body.Close()
			}
			failed <- err
		}()
		within(t, "the stream", entered)
		stop()
		if err := within(t, "Serve", served); err == nil {
			t.Error("Serve does not tell")
		}
		_ = within(t, "the client", failed) // an answer or none, as it comes
		eventually(t, "the handler to end", func() bool { return r.streams.used.Load() == 0 })
	})

	t.Run("speaks TLS 1.2 and up, with HSTS, over HTTP/2 too", func(t *testing.T) {
		t.Parallel()
		certificate, key, roots := selfSigned(t)
		r := newRig(t)
		s, _, _ := serve(t, ServerOptions{CertFile: certificate, KeyFile: key}, func(*Server) http.Handler { return r })
		url := "https://" + s.Addr().String()
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
		t.Cleanup(client.CloseIdleConnections)
		got := get(t, client, url+"/api/v1/things")
		if got.status != http.StatusOK || got.proto != 2 || got.header.Get("Strict-Transport-Security") == "" {
			t.Errorf("got %d over HTTP/%d with %v", got.status, got.proto, got.header)
		}
		post, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/v1/things", strings.NewReader(`{"name":"a"}`))
		if err != nil {
			t.Fatal(err)
		}
		post.Header.Set("Authorization", "Bearer admin-token")
		res, err := client.Do(post)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("POST over HTTP/2: %v, %v", res, err)
		}
		_ = res.Body.Close()

		old := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		if conn, err := tls.Dial("tcp", s.Addr().String(), old); err == nil {
			_ = conn.Close()
			t.Error("TLS 1.1 is spoken")
		}
	})

	t.Run("says what is wrong before it serves", func(t *testing.T) {
		t.Parallel()
		s, err := Listen(t.Context(), ServerOptions{Address: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		for name, o := range map[string]ServerOptions{
			"a port that is taken":      {Address: s.Addr().String()},
			"a certificate without key": {Address: "127.0.0.1:0", CertFile: "cert.pem"},
			"files that are not there":  {Address: "127.0.0.1:0", CertFile: "no.pem", KeyFile: "no.key"},
		} {
			if _, err := Listen(t.Context(), o); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if s.Streams().Err() == nil {
			t.Error("Close leaves streams open")
		}
		if err := s.Serve(t.Context(), newRig(t)); err == nil {
			t.Error("Serve after Close returned no error")
		}
	})

	t.Run("refuses headers that are too large", func(t *testing.T) {
		t.Parallel()
		s, _, _ := serve(t, ServerOptions{}, func(*Server) http.Handler { return newRig(t) })
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr().String()+"/livez", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Large", strings.Repeat("x", 2*maxHeaderBytes))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("got %d", res.StatusCode)
		}
	})
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(t *testing.T) (certificate, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	return certificate, key, roots
}
