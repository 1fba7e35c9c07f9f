package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
)

func swapCommand() command {
	return command{
		name: "swap", group: "Memory and types", args: "DUMP",
		short:   "swap areas: file or device, size, how much of it was used",
		example: "kautopsy swap /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			df := addDumpFlags(fs)
			asJSON := fs.Bool("json", false, "JSON")
			return func(env *environment, args []string) error {
				k, done, err := df.openAlone(env, args)
				if err != nil {
					return err
				}
				defer done()
				return runSwap(env, mm.New(k), *asJSON)
			}
		},
	}
}

type swapJSON struct {
	Address   hexAddress `json:"address"`
	Name      string     `json:"name"`
	Partition bool       `json:"partition"`
	Size      uint64     `json:"size"`
	Used      uint64     `json:"used"`
	Priority  int        `json:"priority"`
}

func runSwap(env *environment, m *mm.Memory, asJSON bool) error {
	areas, err := m.Swaps(env.ctx)
	if len(areas) == 0 && err != nil {
		return err
	}
	lack := missing("swap areas", err)
	list := make([]swapJSON, 0, len(areas))
	for _, a := range areas {
		lack = append(lack, missing("swap area", a.Err)...)
		list = append(list, swapJSON{hexAddress(a.Addr), a.Name, a.Partition, a.Size, a.Used, a.Priority})
	}
	lack = told(env, lack)
	if asJSON {
		return printJSON(env.out, struct {
			Schema  int              `json:"schema"`
			Areas   []swapJSON       `json:"areas"`
			Missing []kernel.Missing `json:"missing"`
		}{schema, list, lack})
	}
	fmt.Fprintln(env.out, "SWAP_INFO_STRUCT    TYPE       SIZE       USED     PCT  PRI  FILENAME")
	for _, a := range list {
		kind := "FILE"
		if a.Partition {
			kind = "PARTITION"
		}
		fmt.Fprintf(env.out, "%016x  %-9s  %8dk  %8dk  %3d%%  %3d  %s\n",
			uint64(a.Address), kind, a.Size/1024, a.Used/1024, 100*a.Used/max(1, a.Size), a.Priority, printable(a.Name))
	}
	return nil
}
