package service

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// version is set by the linker (-X nightshard/shared/service.version=…) where
// there is no repository to take it from, as in a source archive. The linker can
// set nothing but a global.
var version string

// Build is what a program was built from.
type Build struct {
	// Version is the release's, such as v1.2.0; between releases it begins with
	// the next one's, before the first with v0.0.0, and names the commit. It is
	// devel without a repository.
	Version string `json:"version"`
	// Revision is the whole hash of the commit, with -modified if files were
	// changed since; unknown without a repository.
	Revision string `json:"revision"`
	// Go is the version of the toolchain.
	Go string `json:"go"`
}

// ThisBuild is what the running program was built from, as the Go toolchain
// recorded it.
func ThisBuild() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return build(version, info)
}

func build(linked string, info *debug.BuildInfo) Build {
	var revision, modified string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-modified"
		}
	}
	stamped := info.Main.Version
	if stamped == "(devel)" {
		stamped = ""
	}
	commit := ""
	if revision != "" {
		commit = revision[:min(12, len(revision))] + modified
		revision += modified
	}
	return Build{
		Version:  cmp.Or(linked, stamped, commit, "devel"),
		Revision: cmp.Or(revision, "unknown"), Go: runtime.Version(),
	}
}

// Version says what the program was built from, see [Build].
func Version() string { return ThisBuild().Version }

// buildInfo is the metric that tells what runs: always 1, what it says is in its
// labels.
func buildInfo() prometheus.Collector {
	b := ThisBuild()
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "nightshard_build_info", Help: "What the service was built from.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.Go},
	}, func() float64 { return 1 })
}
