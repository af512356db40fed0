package trust_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"nightshard/shared/testbed"
	"nightshard/shared/trust"
)

// ask makes one request with the settings.
func ask(t *testing.T, s trust.Settings, url string) (string, error) {
	t.Helper()
	s.Names = names()
	transport, err := s.Transport(&http.Transport{DisableKeepAlives: true})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), nil
}

// What the real servers of the other tests do not do.
func TestOldProtocolsAreExplained(t *testing.T) {
	t.Parallel()
	authority := testbed.NewAuthority(t, "ca")
	front := testbed.NewTLSProxy(t, "127.0.0.1:1", testbed.TLSProxyOptions{Cert: authority.Issue(t, testbed.CertOptions{}), MaxVersion: tls.VersionTLS11})
	_, err := ask(t, trust.Settings{CA: authority.CAFile}, front.URL)
	if !trust.Is(err) || !strings.Contains(err.Error(), "1.2 or newer") {
		t.Errorf("%v", err)
	}
}

// alert is a server that ends each handshake with one alert, as OpenSSL does
// with a client that lacks a certificate (40), or HAProxy with an unknown host
// (112).
func alert(t *testing.T, number byte) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write([]byte{21, 3, 3, 0, 2, 2, number})
			_ = conn.Close()
		}
	}()
	return "https://" + listener.Addr().String()
}

func TestWhatTheServerSaysInTheHandshakeIsExplained(t *testing.T) {
	t.Parallel()
	cert := testbed.NewAuthority(t, "ca").Issue(t, testbed.CertOptions{Client: true})
	none, ours := trust.Settings{}, trust.Settings{Cert: cert.CertFile, Key: cert.KeyFile}
	for _, c := range []struct {
		number byte
		s      trust.Settings
		want   string
	}{
		{40, none, "set SITE_CERT and SITE_KEY"},
		{40, ours, "TLS 1.2 or newer"},
		{42, ours, "refuses the client certificate of SITE_CERT"},
		{44, ours, "SITE_CERT"},
		{45, ours, "SITE_CERT"},
		{48, ours, "SITE_CERT"},
		{49, ours, "SITE_CERT"},
		{116, none, "SITE_KEY"},
		{70, none, "1.2 or newer"},
		{71, none, "1.2 or newer"},
		{112, none, "SITE_URL"},
	} {
		_, err := ask(t, c.s, alert(t, c.number))
		if !trust.Is(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("alert %d: %v, want %q", c.number, err, c.want)
		}
	}
	_, err := ask(t, none, alert(t, 80)) // internal error: the server's own trouble, which passes
	if trust.Is(err) || err == nil {
		t.Errorf("an internal error: %v", err)
	}
}

func TestOtherBadRequestsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("unable to parse ", 1000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, long, http.StatusBadRequest) }))
	defer srv.Close()
	if body, err := ask(t, trust.Settings{}, srv.URL); err != nil || strings.TrimSpace(body) != strings.TrimSpace(long) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

func TestABadRequestWhoseBodyIsCutStaysCut(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte("half"))
	}))
	defer srv.Close()
	transport, err := trust.Settings{}.Transport(&http.Transport{DisableKeepAlives: true})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(body) != "half" {
		t.Errorf("%q, %v", body, err)
	}
}

func TestPlainHTTPToATLSPortIsExplained(t *testing.T) {
	t.Parallel()
	// As Go, nginx and Apache put it.
	for _, said := range []string{
		"Client sent an HTTP request to an HTTPS server.\n",
		"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head>",
		"Your browser sent a request that this server could not understand.<br />Reason: You're speaking plain HTTP to an SSL-enabled server port.",
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, said, http.StatusBadRequest) }))
		_, err := ask(t, trust.Settings{}, srv.URL)
		srv.Close()
		if !trust.Is(err) || !strings.Contains(err.Error(), "https:// in SITE_URL") {
			t.Errorf("%q: %v", said, err)
		}
	}
}
