package service

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestBuildIsNamedByTheBestThatIsKnown(t *testing.T) {
	t.Parallel()
	const commit = "bc99fd2aa77bb0123456789abcdef0123456789a"
	vcs := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.revision", Value: commit}, {Key: "vcs.modified", Value: modified}}
	}
	for name, c := range map[string]struct {
		linked, stamped string
		settings        []debug.BuildSetting
		want            Build
	}{
		"release":           {stamped: "v1.2.0", settings: vcs("false"), want: Build{Version: "v1.2.0", Revision: commit}},
		"changed files":     {stamped: "v1.2.1-0.20261125204359-bc99fd2aa77b+dirty", settings: vcs("true"), want: Build{Version: "v1.2.1-0.20261125204359-bc99fd2aa77b+dirty", Revision: commit + "-modified"}},
		"source archive":    {linked: "v1.2.0", stamped: "(devel)", want: Build{Version: "v1.2.0", Revision: "unknown"}},
		"commit alone":      {stamped: "(devel)", settings: vcs("true"), want: Build{Version: commit[:12] + "-modified", Revision: commit + "-modified"}},
		"nothing":           {stamped: "(devel)", want: Build{Version: "devel", Revision: "unknown"}},
		"not even a module": {want: Build{Version: "devel", Revision: "unknown"}},
	} {
		c.want.Go = runtime.Version()
		if got := build(c.linked, &debug.BuildInfo{Main: debug.Module{Version: c.stamped}, Settings: c.settings}); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
