package esnode_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
)

func TestFeatures(t *testing.T) {
	t.Parallel()

	t.Run("give the version that clients look for", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		v, err := r.client.GetServerVersion()
		if err != nil || *v != (esdb.ServerVersion{Major: 24, Minor: 10}) {
			t.Fatalf("got %+v, %v", v, err)
		}
	})

	t.Run("list what works and nothing else", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		conn := dial(t, r.node.Addr())
		got, err := serverfeatures.NewServerFeaturesClient(conn).GetSupportedMethods(r.ctx, &shared.Empty{})
		if err != nil {
			t.Fatal(err)
		}
		names := map[string][]string{}
		for _, m := range got.GetMethods() {
			names[m.GetServiceName()] = append(names[m.GetServiceName()], m.GetMethodName())
		}
		if want := map[string][]string{
			"event_store.client.streams.streams": {"read", "append", "batchappend", "delete", "tombstone"},
			"event_store.client.persistent_subscriptions.persistentsubscriptions": {
				"create", "update", "delete", "read", "getinfo", "replayparked", "list", "restartsubsystem",
			},
		}; !maps.EqualFunc(names, want, slices.Equal) {
			t.Errorf("got %v", names)
		}
	})

	t.Run("and what is not there says so", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		conn := dial(t, r.node.Addr())
		for _, method := range []string{
			"operations.Operations/StartScavenge", "projections.Projections/Statistics", "users.Users/Details",
			"monitoring.Monitoring/Stats", "streams.Streams/Another", "persistent_subscriptions.PersistentSubscriptions/Another",
		} {
			err := conn.Invoke(r.ctx, "/event_store.client."+method, &shared.Empty{}, &shared.Empty{})
			if status.Code(err) != codes.Unimplemented {
				t.Errorf("%s: got %v", method, err)
			}
		}
		_, err := r.client.AppendToStream(r.ctx, "s", esdb.AppendToStreamOptions{}, event("x"))
		if err != nil {
			t.Errorf("the client does not go on: %v", err)
		}
	})
}

func TestGossip(t *testing.T) {
	t.Parallel()
	r := newRig(t, esnodetest.OnLoopback)
	_, port, _ := net.SplitHostPort(r.node.Addr())

	t.Run("leads a discovering client to the node", func(t *testing.T) {
		t.Parallel()
		for _, url := range []string{
			"esdb+discover://127.0.0.1:%s?tls=false",
			"esdb+discover://localhost:%s?tls=false",
			"esdb://127.0.0.1:%[1]s,localhost:%[1]s?tls=false",
		} {
			config, err := esdb.ParseConnectionString(fmt.Sprintf(url, port))
			if err != nil {
				t.Fatal(err)
			}
			config.Logger = esdb.NoopLogging()
			client, err := esdb.NewClient(config)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.AppendToStream(r.ctx, "s", esdb.AppendToStreamOptions{}, event("x")); err != nil {
				t.Errorf("%s: %v", url, err)
			}
			if err := client.Close(); err != nil {
				t.Error(err)
			}
		}
	})

	t.Run("names what the client dialled", func(t *testing.T) {
		t.Parallel()
		for _, host := range []string{"127.0.0.1", "localhost"} {
			info, err := gossip.NewGossipClient(dial(t, host+":"+port)).Read(t.Context(), &shared.Empty{})
			if err != nil || len(info.GetMembers()) != 1 {
				t.Fatalf("got %v, %v", info, err)
			}
			m := info.GetMembers()[0]
			if m.GetHttpEndPoint().GetAddress() != host || strconv.FormatUint(uint64(m.GetHttpEndPoint().GetPort()), 10) != port ||
				m.GetState() != gossip.MemberInfo_Leader || !m.GetIsAlive() {
				t.Errorf("got %v", m)
			}
		}
	})
}

const username, password = "admin", "a long: password"

func withCredentials(o *esnode.Options) { o.Username, o.Password = username, password }

func basic(user, pass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+pass))
}

func TestCredentials(t *testing.T) {
	t.Parallel()

	t.Run("are asked of every call", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, withCredentials)
		for name, headers := range map[string][]string{
			"none":               nil,
			"another password":   {"authorization", basic(username, "another")},
			"another user":       {"authorization", basic("another", password)},
			"a shifted colon":    {"authorization", basic(username+":", password)},
			"another scheme":     {"authorization", "Bearer " + strings.TrimPrefix(basic(username, password), "Basic ")},
			"no encoding":        {"authorization", "Basic " + username + ":" + password},
			"the scheme alone":   {"authorization", "Basic"},
			"a part of the text": {"authorization", basic(username, password[:3])},
		} {
			ctx := metadata.AppendToOutgoingContext(r.ctx, headers...)
			_, appendErr := r.client.AppendToStream(ctx, "s", esdb.AppendToStreamOptions{}, event("x"))
			_, readErr := collect(r.client.ReadAll(ctx, esdb.ReadAllOptions{From: esdb.Start{}}, 1))
			_, subscribeErr := r.client.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{})
			_, deleteErr := r.client.DeleteStream(ctx, "s", esdb.DeleteStreamOptions{})
			_, tombstoneErr := r.client.TombstoneStream(ctx, "s", esdb.TombstoneStreamOptions{})
			for _, err := range []error{appendErr, readErr, subscribeErr, deleteErr, tombstoneErr} {
				wantCode(t, name, err, esdb.ErrorCodeUnauthenticated)
			}
		}
		ctx := metadata.AppendToOutgoingContext(r.ctx, "authorization", basic(username, password))
		if _, err := r.client.AppendToStream(ctx, "s", esdb.AppendToStreamOptions{}, event("x")); err != nil {
			t.Errorf("the right ones: %v", err)
		}
	})

	t.Run("go with the client's own options over TLS", func(t *testing.T) {
		t.Parallel()
		certificate, roots := selfSigned(t)
		node := esnodetest.Start(t, esnodetest.OnLoopback, withCredentials, func(o *esnode.Options) {
			o.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		})
		if !strings.HasSuffix(node.ConnectionString(), "?tls=true") {
			t.Errorf("the connection string is %s", node.ConnectionString())
		}
		config, err := esdb.ParseConnectionString(node.ConnectionString())
		if err != nil {
			t.Fatal(err)
		}
		config.RootCAs, config.Logger = roots, esdb.NoopLogging()
		config.Username, config.Password = username, password
		client, err := esdb.NewClient(config)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Close() }()
		if _, err := client.AppendToStream(t.Context(), "s", esdb.AppendToStreamOptions{}, event("x")); err != nil {
			t.Errorf("the right ones: %v", err)
		}
		wrong := esdb.AppendToStreamOptions{Authenticated: &esdb.Credentials{Login: username, Password: "wrong"}}
		_, err = client.AppendToStream(t.Context(), "s", wrong, event("x"))
		wantCode(t, "wrong ones", err, esdb.ErrorCodeUnauthenticated)
	})
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func TestListen(t *testing.T) {
	t.Parallel()
	start := func(ctx context.Context, listen string) (*esnode.Node, error) {
		return esnode.Start(ctx, esnode.Options{FS: vfs.NewMem(), Dir: "log", Listen: listen})
	}

	t.Run("refuses an address that others can reach", func(t *testing.T) {
		t.Parallel()
		for _, address := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0", "nonsense", "unix:", "unix:/" + strings.Repeat("x", 107)} {
			if n, err := start(t.Context(), address); err == nil {
				t.Errorf("%s was accepted", address)
				_ = n.Close(t.Context())
			}
		}
	})

	t.Run("takes such an address only with TLS and credentials", func(t *testing.T) {
		t.Parallel()
		certificate, _ := selfSigned(t)
		o := esnode.Options{FS: vfs.NewMem(), Dir: "log", Listen: "0.0.0.0:0", TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}}
		if _, err := esnode.Start(t.Context(), o); err == nil {
			t.Error("it was accepted without credentials")
		}
		o.Username, o.Password, o.TLS = username, password, nil
		if _, err := esnode.Start(t.Context(), o); err == nil {
			t.Error("it was accepted without TLS")
		}
		o.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
		n, err := esnode.Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})

	t.Run("wants a username and a password, or neither", func(t *testing.T) {
		t.Parallel()
		for _, o := range []esnode.Options{{Username: username}, {Password: password}} {
			o.FS, o.Dir, o.Listen = vfs.NewMem(), "log", "127.0.0.1:0"
			if _, err := esnode.Start(t.Context(), o); err == nil {
				t.Error("it was accepted")
			}
		}
	})

	t.Run("makes a socket for its owner alone, and removes it", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(esnodetest.SocketDir(t), "s")
		n, err := start(t.Context(), "unix:"+path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the socket is %v, %v", info, err)
		}
		if n.Addr() != "unix:"+path {
			t.Errorf("the address is %s", n.Addr())
		}
		if err := n.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left: %v", err)
		}
	})

	t.Run("takes the place of a socket that nobody answers", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(esnodetest.SocketDir(t), "s")
		dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		dead.SetUnlinkOnClose(false)
		if err := dead.Close(); err != nil {
			t.Fatal(err)
		}
		n, err := start(t.Context(), "unix:"+path)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})

	t.Run("leaves alone what is in use, or is no socket", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(esnodetest.SocketDir(t), "s")
		live, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = live.Close() }()
		file := filepath.Join(esnodetest.SocketDir(t), "f")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{path, file} {
			if _, err := start(t.Context(), "unix:"+p); err == nil {
				t.Errorf("%s was taken", p)
			}
			if _, err := os.Lstat(p); err != nil {
				t.Error(err)
			}
		}
	})
}
