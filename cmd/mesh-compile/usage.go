package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mesh-compile/mesh-compile/compiler/load"
)

// usage makes root answer a wrong command line with the right one. Required
// flags are asked for here, before a command begins, so that whatever fails
// until then is a question of usage.
func (a *app) usage(root *cobra.Command) {
	root.SetFlagErrorFunc(flagError)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := cmd.ValidateRequiredFlags(); err != nil {
			return err
		}
		a.began = true
		return nil
	}
}

// withUsage adds the usage of the command to an error of its command line.
func withUsage(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%s\nusage: %s\nhelp:  %s --help", strings.TrimSpace(err.Error()), cmd.UseLine(), cmd.CommandPath())
}

// flagError suggests the flag that was meant.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := load.Nearest(unknown.GetSpecifiedName(), names); near != "" {
		return fmt.Errorf("%w: did you mean --%s?", err, near)
	}
	return err
}

// takes checks the arguments of a command against their names in its usage. A
// last name with an ellipsis may stand for several.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(names) == 0 && len(args) > 0:
			return fmt.Errorf("%s takes no arguments, and was given %q", cmd.Name(), args[0])
		case len(args) < len(names):
			return fmt.Errorf("%s needs %s", cmd.Name(), strings.TrimSuffix(names[len(args)], "..."))
		case len(args) > len(names) && !strings.HasSuffix(names[len(names)-1], "..."):
			return fmt.Errorf("%s takes %s alone, and was given %q too", cmd.Name(), strings.Join(names, " "), args[len(names)])
		}
		return nil
	}
}

// some names a list without flooding a terminal.
func some(names []string) string {
	const shown = 20
	if len(names) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
	}
	return strings.Join(names, ", ")
}

// oneOf checks the value of a flag that names one of a few things.
func oneOf(flag, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	last := len(allowed) - 1
	return fmt.Errorf("--%s %q: want %s or %s", flag, value, strings.Join(allowed[:last], ", "), allowed[last])
}
