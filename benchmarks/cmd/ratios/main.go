// Command ratios prints one row per figure that Swale quotes, measured
// against a rival or a floor in the same run:
//
//	NAME VALUE UNIT BOUND
//
// Trust the ratios and not the times: the sides of a ratio take turns on the
// same machine.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"text/tabwriter"

	"github.com/goswale/swale/benchmarks/internal/apart"
	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/benchmarks/internal/rows"
)

func main() {
	apart.Main()
	only := flag.String("only", "", "measure only the rows whose name matches this regular expression")
	asJSON := flag.Bool("json", false, "print one JSON object per row")
	check := flag.Bool("check", false, "exit 1 if a bound is missed or a row fails")
	rounds := flag.Int("rounds", 7, "rounds per row; the median is printed; at least 5")
	flag.Parse()
	match, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintf(os.Stderr, "ratios: -only %q is not a regular expression: %v\n", *only, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	missed := 0
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, row := range rows.All() {
		if !match.MatchString(row.Name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring %s: %s\n", row.Name, row.Note)
		res := ratio.Run(ctx, row, *rounds)
		if !res.OK {
			missed++
		}
		if *asJSON {
			line, _ := json.Marshal(res) // a struct of strings, numbers and bools
			fmt.Println(string(line))
			continue
		}
		fmt.Fprintln(out, line(res))
	}
	_ = out.Flush()
	if *check && missed > 0 {
		fmt.Fprintf(os.Stderr, "ratios: %d rows missed their bound or failed\n", missed)
		os.Exit(1)
	}
}

func line(res ratio.Result) string {
	switch {
	case res.Skipped != "":
		return fmt.Sprintf("%s\t%s\t\t", res.Name, res.Skipped)
	case res.Error != "":
		return fmt.Sprintf("%s\tfailed: %s\t\t", res.Name, res.Error)
	}
	mark := ""
	if !res.OK {
		mark = "MISSED"
	}
	return fmt.Sprintf("%s\t%.4g\t%s\t%s\t(%.3g to %.3g in %d rounds)\t%s",
		res.Name, res.Value, res.Unit, res.Bound, res.Min, res.Max, res.Rounds, mark)
}
