package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/schemas"
)

func (a *app) schema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [KIND]",
		Short: "Print the JSON Schema of a kind, or of all of them, for editors",
		Long: `schema prints the JSON Schema of a native kind, of all kinds (without KIND), or of
the JSON that a command prints ("lint", "explain", "fleet").`,
		Example: `  mesh-compile schema MeshRoute > meshroute.schema.json`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			data, err := schemas.JSONSchema(name)
			if err != nil {
				if data, cliErr := schemas.CLISchema(name); cliErr == nil {
					_, err = a.stdout.Write(data)
					return err
				}
				return fmt.Errorf("%w; there are schemas of %s", err, strings.Join(schemas.Names(), ", "))
			}
			_, err = a.stdout.Write(data)
			return err
		},
	}
}
