//go:build !race

package testbed

// raceDetector says whether the test binary was built with -race.
const raceDetector = false
