package memory_test

import (
	"testing"

	"nightshard/shared/objstore/memory"
	"nightshard/shared/objstore/objstoretest"
)

func TestMemoryKeepsThePromises(t *testing.T) {
	t.Parallel()
	store := memory.New()
	objstoretest.Run(t, func(testing.TB) objstoretest.Inner { return store })
}
