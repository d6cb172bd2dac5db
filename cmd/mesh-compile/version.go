package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/compiler"
)

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit it was built from, and the Envoy it writes for",
		Args:  takes(),
		Run: func(*cobra.Command, []string) {
			fmt.Fprintf(a.stdout, "mesh-compile %s\n", compiler.Version)
			fmt.Fprintf(a.stdout, "envoy %s or later, configuration of %s\n", compiler.MinEnvoy, compiler.EnvoyAPI)
			if info, ok := debug.ReadBuildInfo(); ok {
				fmt.Fprintf(a.stdout, "%s, commit %s\n", info.GoVersion, orNone(setting(info, "vcs.revision")))
			}
		},
	}
}

func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
