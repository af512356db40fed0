package swift_test

import (
	"testing"

	"nightshard/shared/objstore/objstoretest"
	"nightshard/shared/objstore/swift"
	"nightshard/shared/testbed"
)

// open opens an account of a real Swift, with changes to its settings.
func open(t testing.TB, change func(*swift.Config)) *swift.Store {
	t.Helper()
	return openAccount(t, testbed.Swift(t), change)
}

func openAccount(t testing.TB, account *testbed.SwiftAccount, change func(*swift.Config)) *swift.Store {
	t.Helper()
	cfg, err := swift.ConfigFromEnv(account.Env)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&cfg)
	}
	store, err := swift.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestSwiftKeepsThePromises(t *testing.T) {
	t.Parallel()
	store := open(t, func(c *swift.Config) { c.PageSize = 7 })
	objstoretest.Run(t, func(testing.TB) objstoretest.Inner { return store })
}
