package main

import (
	"context"
	"runtime"

	"github.com/spf13/cobra"

	"nightshard/shared/service"
)

// versionReport is what version prints as JSON.
type versionReport struct {
	service.Build
	OS   string `json:"os"`
	Arch string `json:"arch"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "What this command was built from",
		Args:  wants(),
		RunE: a.does(func(context.Context, []string) error {
			v := versionReport{Build: service.ThisBuild(), OS: runtime.GOOS, Arch: runtime.GOARCH}
			if a.asJSON {
				return a.out.json(v)
			}
			a.out.printf("nightshard %s (%s, %s/%s)\n", v.Version, v.Go, v.OS, v.Arch)
			return nil
		}),
	}
}
