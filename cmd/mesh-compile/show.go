package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

type showFlags struct {
	workload, format string
	bootstrap        bool
}

func (a *app) show() *cobra.Command {
	var f showFlags
	c := &cobra.Command{
		Use:   "show DIR [--workload NS/NAME]",
		Short: "Print what a workload's proxies get, as Envoy configuration",
		Long: `show prints a workload's slice of a release: listeners, routes and clusters. With
--bootstrap it is one self-contained static configuration that "envoy --mode
validate" accepts: routes are inlined, endpoints are static, and certificates are
made up for the occasion. Without --workload it lists the workloads.`,
		Args: takes("DIR"),
		RunE: func(_ *cobra.Command, args []string) error { return a.runShow(&f, args[0]) },
	}
	fs := c.Flags()
	fs.StringVar(&f.workload, "workload", "", "workload `NS/NAME`")
	fs.StringVar(&f.format, "format", "yaml", "output `FORMAT`: yaml or json")
	fs.BoolVar(&f.bootstrap, "bootstrap", false, "one self-contained static Envoy configuration")
	return c
}

func (a *app) runShow(f *showFlags, dir string) error {
	if err := oneOf("format", f.format, "yaml", "json"); err != nil {
		return err
	}
	release, err := readRelease(dir)
	if err != nil {
		return err
	}
	if f.workload == "" {
		a.listWorkloads(release)
		return nil
	}
	l, err := leafOf(release, f.workload)
	if err != nil {
		return err
	}
	return a.showSlice(f, release, l)
}

func (a *app) listWorkloads(r *artifact.Release) {
	for _, l := range r.Leaves() {
		fmt.Fprintf(a.stdout, "%s\t%s\t%s\n", l.Workload, l.SPIFFEID, l.Slice)
	}
}

func leafOf(r *artifact.Release, workload string) (artifact.Leaf, error) {
	leaves := r.Leaves()
	i := slices.IndexFunc(leaves, func(l artifact.Leaf) bool { return l.Workload == workload })
	if i < 0 {
		names := make([]string, len(leaves))
		for i, l := range leaves {
			names[i] = l.Workload
		}
		return artifact.Leaf{}, fmt.Errorf("the release has no workload %q; it has %s", workload, some(names))
	}
	return leaves[i], nil
}
