package testbed_test

import (
	"testing"

	"nightshard/shared/testbed"
)

func TestAMessageForPeoplePasses(t *testing.T) {
	t.Parallel()
	testbed.Message(t, `NIGHTSHARD_DAY is "x", want today or yesterday`, "NIGHTSHARD_DAY", "today")
}
