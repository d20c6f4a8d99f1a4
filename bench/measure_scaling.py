#!/usr/bin/env python3
"""Measures training steps on one and several ranks of this machine, with and without overlap.

    bench/measure_scaling.py EXPERIMENT [--tessera PATH] [--ranks 1,2] [--rounds 5] [--steps 12] [--output FILE]
        [--set KEY=VALUE ...]

Every round runs each configuration once, in turn, so that whatever else the machine does falls on all of them;
of each run the steps after the first two count, of all rounds the median. Every rank takes one clip: the work of
a rank is the same whatever their number. Prints a table and writes JSON that bench/project_scaling.py --measured
reads.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

PARTS = ("seconds", "data", "forward", "backward", "exposed", "optimiser")
WARM_UP = 2  # steps: allocations, caches, the Reducer's own buckets


def run_once(options, ranks, overlap, folder):
    """The counted lines of one run's profile."""
    command = []
    if ranks > 1:
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", str(ranks)]
    command += [options.tessera, "train", options.experiment, "--output", folder, "--profile"]
    settings = [f"train.total_batch={ranks}", f"train.iterations={options.steps}", "train.threads=1",
                "train.evaluate_every=0", f"train.checkpoint_every={options.steps}",
                f"train.distributed.overlap={'true' if overlap else 'false'}"] + options.set
    for setting in settings:
        command += ["--set", setting]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"error: expected {' '.join(command)} to end well, got {done.returncode}:\n{done.stdout}")
    with open(os.path.join(folder, "profile.jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file][WARM_UP:]


def main():
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment")
    parser.add_argument("--tessera", default="build/release/bin/tessera")
    parser.add_argument("--ranks", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--output")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    if options.steps <= WARM_UP:
        parser.error(f"--steps: expected more than {WARM_UP}, got {options.steps}")
    configurations = []
    for ranks in map(int, options.ranks.split(",")):
        configurations += [(ranks, True)] + ([(ranks, False)] if ranks > 1 else [])
    lines = {configuration: [] for configuration in configurations}
    for number in range(options.rounds):
        for configuration in configurations if number % 2 == 0 else configurations[::-1]:
            with tempfile.TemporaryDirectory() as folder:
                lines[configuration] += run_once(options, *configuration, os.path.join(folder, "run"))
    runs = []
    print("| ranks | overlap | " + " | ".join(f"{part} (s)" for part in PARTS) + " |\n|---:|---|" + "---:|" * len(PARTS))
    for (ranks, overlap), found in lines.items():
        median = {part: statistics.median(line[part] for line in found) for part in PARTS}
        quartiles = {part: statistics.quantiles([line[part] for line in found], n=4)[::2] for part in PARTS}
        runs.append({"ranks": ranks, "overlap": overlap, "steps": len(found), "median": median, "quartiles": quartiles,
                     "bucket_bytes": found[-1].get("bucket_bytes", [])})
        print(f"| {ranks} | {'-' if ranks == 1 else 'on' if overlap else 'off'} | "
              + " | ".join(f"{median[part]:.4f}" for part in PARTS) + " |")
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump({"experiment": options.experiment, "rounds": options.rounds, "settings": options.set,
                       "processors": os.cpu_count(), "runs": runs}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
