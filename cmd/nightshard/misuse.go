package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// wants is cobra's check of the arguments, which are named as in the command's
// usage. Its error says what came in their place.
func wants(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		wanted, got := "no argument", "nothing"
		if len(names) > 0 {
			wanted = strings.Join(names, " and ")
		}
		if len(args) > 0 {
			got = fmt.Sprintf("%q", args[0])
			for _, arg := range args[1:] {
				got += fmt.Sprintf(" %q", arg)
			}
		}
		return fmt.Errorf("%s takes %s, got %s", cmd.CommandPath(), wanted, got)
	}
}

// flagError says in an operator's words why the value of a flag is none.
func flagError(_ *cobra.Command, err error) error {
	wrong, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	want := map[string]string{
		"duration": "a time with its unit, such as 90s or 24h", "int": "a whole number", "bool": "true or false",
	}[wrong.GetFlag().Value.Type()]
	if want == "" {
		return err
	}
	return fmt.Errorf("--%s is %q, want %s", wrong.GetFlag().Name, wrong.GetValue(), want)
}
