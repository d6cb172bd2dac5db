package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/compiler/convert/hystrix"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

type convertFlags struct {
	from, namespace string
	services        map[string]string
}

func (a *app) convert() *cobra.Command {
	var f convertFlags
	c := &cobra.Command{
		Use:   "convert --from hystrix FILE",
		Short: "Convert the configuration of another system to native policies",
		Long: `convert prints native policies that do what a file of another system says. Each value
has the line that it comes from as a comment. What has no counterpart is listed on
standard error, with its place and the reason.

From hystrix it reads a .properties file of Netflix Hystrix. A command calls the service
that is named after its key (GetCatalog: get-catalog) unless --service says another.`,
		Example: `  mesh-compile convert --from hystrix --namespace shop --service PaymentCommand=payment hystrix.properties`,
		Args:    takes("FILE"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.runConvert(&f, args[0]) },
	}
	fs := c.Flags()
	fs.StringVar(&f.from, "from", "", "what the file is of: hystrix")
	fs.StringVar(&f.namespace, "namespace", "default", "namespace of the policies")
	fs.StringToStringVar(&f.services, "service", nil, "which service a command calls, `KEY=SERVICE` (repeatable)")
	return c
}

// maxConverted bounds a file.
const maxConverted = 4 << 20

func (a *app) runConvert(f *convertFlags, file string) error {
	if f.from != "hystrix" {
		return fmt.Errorf("--from %q: want hystrix", f.from)
	}
	text, err := readFile(file)
	if err != nil {
		return err
	}
	out, diags, err := hystrix.Convert(file, text, hystrix.Options{Namespace: f.namespace, Services: f.services})
	if err != nil {
		return err
	}
	if err := diag.WriteText(a.stderr, diags, diag.TextOptions{Color: colors(a.stderr)}); err != nil {
		return err
	}
	if err := findings(diags, diag.Error); err != nil {
		fmt.Fprintln(a.stderr, "nothing was converted")
		return err
	}
	_, err = a.stdout.Write(out)
	return err
}

func readFile(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConverted+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxConverted {
		return "", errors.New(name + ": more than 4 MiB")
	}
	return string(text), nil
}
