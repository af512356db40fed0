package swift_test

import (
	"testing"

	"github.com/ncw/swift/v2/swifttest"

	"nightshard/shared/objstore/objstoretest"
	"nightshard/shared/objstore/swift"
)

// fake opens an account of the library's in-memory server, which is quick but
// keeps few of Swift's promises.
func fake(t testing.TB) *swift.Store {
	t.Helper()
	server, err := swifttest.NewSwiftServer("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	cfg, err := swift.ConfigFromEnv(map[string]string{
		"ST_AUTH": server.AuthURL, "ST_USER": swifttest.TEST_ACCOUNT, "ST_KEY": swifttest.TEST_ACCOUNT,
	})
	if err != nil {
		t.Fatal(err)
	}
	store, err := swift.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestFakeServerKeepsThePromises(t *testing.T) {
	t.Parallel()
	objstoretest.Run(t, func(t testing.TB) objstoretest.Inner { return fake(t) },
		// The fake keeps an object's metadata when it is replaced, cuts names
		// at a line's end, and its own maps are not safe for concurrent use.
		"ReplaceForgetsTheOld", "OddNamesAreLiteral", "ConcurrentUse", "ListGoesOverPages")
}
