package swift

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	ncw "github.com/ncw/swift/v2"

	"nightshard/shared/objstore"
)

// never is longer than any call: the library's own timeouts end a PUT whose
// source is slow and a COPY that takes longer than ten seconds, so the watch of
// this package stands in for them.
const never = 365 * 24 * time.Hour

// dialTimeout bounds the connection to a server and its TLS handshake.
const dialTimeout = 10 * time.Second

// Store is one account. It is safe for concurrent use.
type Store struct {
	conn    *ncw.Connection
	idle    time.Duration
	segment int64
	page    int
	secrets *secrets
	cfg     Config
	// login has room for one: whoever puts a token in may log in. A mutex
	// would make others wait without heeding their context.
	login chan struct{}

	mu    sync.Mutex
	known map[string]bool
}

var (
	_ objstore.Account         = (*Store)(nil)
	_ objstore.Reauthenticator = (*Store)(nil)
)

// Open logs in and returns the account. Refused credentials are
// objstore.ErrCredentials.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("open Swift: %w", err)
	}
	hidden := newSecrets(cfg)
	transport, err := newTransport(cfg, hidden)
	if err != nil {
		return nil, err
	}
	s := &Store{
		conn: connection(cfg, transport), idle: cfg.IdleTimeout, segment: cfg.SegmentBytes, page: cfg.PageSize,
		secrets: hidden, cfg: cfg, login: make(chan struct{}, 1), known: map[string]bool{},
	}
	if s.idle <= 0 {
		s.idle = DefaultIdleTimeout
	}
	if s.segment <= 0 {
		s.segment = DefaultSegmentBytes
	}
	if _, err := s.storageURL(ctx); err != nil {
		return nil, err
	}
	s.limitSegments(ctx)
	return s, nil
}

func connection(cfg Config, transport http.RoundTripper) *ncw.Connection {
	return &ncw.Connection{
		AuthUrl: cfg.AuthURL, AuthVersion: cfg.AuthVersion, UserName: cfg.User, UserId: cfg.UserID, ApiKey: cfg.Key,
		ApplicationCredentialId: cfg.AppCredentialID, ApplicationCredentialName: cfg.AppCredentialName,
		ApplicationCredentialSecret: cfg.AppCredentialSecret, Domain: cfg.UserDomain, DomainId: cfg.UserDomainID,
		Tenant: cfg.Project, TenantId: cfg.ProjectID, TenantDomain: cfg.ProjectDomain, TenantDomainId: cfg.ProjectDomainID,
		TrustId: cfg.TrustID, Region: cfg.Region, EndpointType: ncw.EndpointType(cfg.EndpointType),
		StorageUrl: cfg.StorageURL, AuthToken: cfg.AuthToken, UserAgent: "nightshard",
		ConnectTimeout: never, Timeout: never, Transport: transport,
	}
}

// newTransport never asks for compression: the MD5 is that of the bytes as
// they are stored.
func newTransport(cfg Config, hidden *secrets) (http.RoundTripper, error) {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: dialTimeout, DisableCompression: true,
		MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute,
		// Until the server says that it wants the body, none of it is sent.
		ExpectContinueTimeout: 5 * time.Second,
	}
	secure, err := cfg.tls().Transport(t)
	if err != nil {
		return nil, fmt.Errorf("read certificates for Swift: %w", err)
	}
	return &spy{next: secure, secrets: hidden}, nil
}

// limitSegments lowers the size of segments to what the server allows. Not
// every server answers /info, and none has to.
func (s *Store) limitSegments(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	info, err := s.conn.QueryInfo(ctx)
	if err != nil {
		return
	}
	section, _ := info["swift"].(map[string]any)
	if most, ok := section["max_file_size"].(float64); ok && most >= 1 && int64(most) < s.segment {
		s.segment = int64(most)
	}
}

// Endpoint is the account's URL, for messages: it holds no secret.
func (s *Store) Endpoint() string {
	raw, err := s.conn.GetStorageUrl(context.Background())
	if err != nil {
		return ""
	}
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return s.secrets.hide((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String())
}

// Reauthenticate logs in again, after a token was refused.
func (s *Store) Reauthenticate(ctx context.Context) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	return s.authenticate(ctx)
}

// storageURL is the account's URL, after a login if there is none that holds.
func (s *Store) storageURL(ctx context.Context) (string, error) {
	if err := s.lock(ctx); err != nil {
		return "", err
	}
	defer s.unlock()
	if !s.conn.Authenticated() {
		if err := s.authenticate(ctx); err != nil {
			return "", err
		}
	}
	u, err := s.conn.GetStorageUrl(ctx)
	if err != nil {
		return "", s.secrets.scrub(err)
	}
	return u, nil
}

func (s *Store) lock(ctx context.Context) error {
	select {
	case s.login <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("log in to Swift: %w", ctx.Err())
	}
}

func (s *Store) unlock() { <-s.login }
