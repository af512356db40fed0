package swift

// The parsers of listings, for tests.
var (
	ParseObjects    = parseObjects
	ParseContainers = parseContainers
)
