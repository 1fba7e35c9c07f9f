package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/pflag"
)

func versionCommand() command {
	return command{
		name: "version", group: "kautopsy itself",
		short:   "which kautopsy this is",
		example: "kautopsy version",
		setup: func(*pflag.FlagSet) func(*environment, []string) error {
			return func(env *environment, args []string) error {
				if err := noMore(args); err != nil {
					return err
				}
				fmt.Fprintf(env.out, "kautopsy %s %s/%s %s\n", version(), runtime.GOOS, runtime.GOARCH, runtime.Version())
				return nil
			}
		},
	}
}

// version is what the Go tool stamped into the binary.
func version() string {
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" && b.Main.Version != "(devel)" {
		return b.Main.Version
	}
	return "development"
}
