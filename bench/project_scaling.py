#!/usr/bin/env python3
"""Projects the step time of data-parallel training from what was measured to many GPUs.

    bench/project_scaling.py --measured scaling.json --buckets-mib 1.0,25.3,25.1,24.9 \\
      --gpus-per-node 8 --node-gb G --node-latency U --network-gb G --network-latency U --small N

Nothing has a default that is a measurement: step times come from a run (--measured, --profile or the three
numbers), the sizes of buckets from the model, the speeds of links from a benchmark of the machines
(all_reduce_perf of nccl-tests: the bus bandwidth of large messages, half the time of a small one divided by the
number of hops). What comes out is arithmetic. Its assumptions, which are printed with the result:

  * every rank computes as long as the measured one did, plus --jitter (waiting for the slowest rank);
  * gradients become ready evenly over backward, in the order of the buckets; a bucket is sent when it is ready
    and the one before has left; sending takes nothing from computing;
  * within a node a bucket of b bytes costs a ring: 2 (n-1)/n b / bandwidth + 2 (n-1) latency with n GPUs; between
    nodes, after that, a tree: 2 b / bandwidth + 2 ceil(log2 nodes) latency. NCCL picks what is best for its
    machine: this is a cautious model;
  * a node's GPUs share its network evenly (--network-gb is the share of one), and nobody else uses it;
  * the small reductions of a step (normalisers, losses) cost 2 ceil(log2 ranks) latencies each, one after the
    other;
  * data is always there in time.
"""
import argparse
import json
import math

RANKS = (1, 8, 16, 32, 64, 128, 256, 512, 1024)


def reduce_seconds(size, ranks, nodes, options):
    """Time of one all-reduce of `size` bytes."""
    local = min(ranks, options.gpus_per_node)
    seconds = 0.0
    if local > 1:
        seconds += 2 * (local - 1) / local * size / (options.node_gb * 1e9)
        seconds += 2 * (local - 1) * options.node_latency * 1e-6
    if nodes > 1:
        seconds += 2 * size / (options.network_gb * 1e9)
        seconds += 2 * math.ceil(math.log2(nodes)) * options.network_latency * 1e-6
    return seconds


def exposed_seconds(times, sizes, ranks, options):
    """Time after the last gradient is ready until every bucket is averaged."""
    nodes = math.ceil(ranks / options.gpus_per_node)
    total = sum(sizes)
    ready = free = 0.0
    for size in sizes:
        ready += times["backward"] * size / total
        start = max(ready if options.overlap else times["backward"], free)
        free = start + reduce_seconds(size * (0.5 if options.bf16 else 1), ranks, nodes, options)
    return max(0.0, free - times["backward"])


def project(times, sizes, ranks, options):
    """(step seconds, exposed seconds) with that many ranks."""
    compute = times["forward"] + times["backward"] + times["optimiser"]
    if ranks == 1:
        return compute, 0.0
    nodes = math.ceil(ranks / options.gpus_per_node)
    latency = options.network_latency if nodes > 1 else options.node_latency
    small = options.small * 2 * math.ceil(math.log2(ranks)) * latency * 1e-6
    exposed = exposed_seconds(times, sizes, ranks, options) + small
    return compute * (1 + options.jitter) + exposed, exposed


def read_profile(path):
    """Means over a profile.jsonl of one rank, its first tenth left out (allocations, caches)."""
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    lines = lines[len(lines) // 10:]
    times = {key: sum(line[key] for line in lines) / len(lines)
             for key in ("forward", "backward", "exposed", "optimiser")}
    times["backward"] -= times.pop("exposed")
    return times


def read_measured(path):
    """The run of one rank in what measure_scaling.py wrote, and the buckets that several ranks sent."""
    with open(path, encoding="utf-8") as file:
        measured = json.load(file)
    for run in measured["runs"]:
        if run["ranks"] == 1:
            times = {key: run["median"][key] for key in ("forward", "backward", "optimiser")}
            sent = [other["bucket_bytes"] for other in measured["runs"] if other.get("bucket_bytes")]
            return times, sent[0] if sent else None
    raise SystemExit(f"error: {path}: expected a run of one rank, got none. See bench/measure_scaling.py.")


def parse(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    step = parser.add_argument_group("step of one GPU: one of --measured, --profile, or all three times")
    step.add_argument("--measured", help="file of bench/measure_scaling.py")
    step.add_argument("--profile", help="profile.jsonl of a run of one process")
    step.add_argument("--forward", type=float, help="seconds, criterion included")
    step.add_argument("--backward", type=float, help="seconds")
    step.add_argument("--optimiser", type=float, help="seconds")
    needed = parser.add_argument_group("needed")
    needed.add_argument("--buckets-mib", help="sizes of the float32 buckets in order, like 1.0,25.3,24.8; "
                        "--measured has them where it ran several ranks")
    needed.add_argument("--gpus-per-node", type=int, required=True)
    needed.add_argument("--node-gb", type=float, required=True, help="GB/s of a GPU within a node")
    needed.add_argument("--node-latency", type=float, required=True, help="microseconds a hop within a node")
    needed.add_argument("--network-gb", type=float, required=True, help="GB/s between nodes, one GPU's share")
    needed.add_argument("--network-latency", type=float, required=True, help="microseconds a hop between nodes")
    needed.add_argument("--small", type=int, required=True, help="small reductions a step")
    parser.add_argument("--jitter", type=float, default=0.0, help="share of compute waited for the slowest rank (0)")
    parser.add_argument("--bf16", action="store_true", help="gradients travel as bf16")
    parser.add_argument("--no-overlap", dest="overlap", action="store_false", help="buckets leave after backward")
    options = parser.parse_args(arguments)
    given = [options.forward, options.backward, options.optimiser]
    ways = [options.measured is not None, options.profile is not None, None not in given]
    if sum(ways) != 1 or (not ways[2] and given != [None] * 3):
        parser.error("expected one of --measured, --profile, or --forward, --backward and --optimiser")
    return options


def main():
    """Prints the table."""
    options = parse()
    sizes = None
    if options.measured:
        times, sizes = read_measured(options.measured)
    elif options.profile:
        times = read_profile(options.profile)
    else:
        times = {key: getattr(options, key) for key in ("forward", "backward", "optimiser")}
    if options.buckets_mib:
        sizes = [float(size) * 2**20 for size in options.buckets_mib.split(",")]
    if not sizes:
        raise SystemExit("error: expected --buckets-mib, or --measured with a run of several ranks, got neither")
    print(f"given: forward {times['forward']:.4g} s, backward {times['backward']:.4g} s, optimiser "
          f"{times['optimiser']:.4g} s; {len(sizes)} buckets, {sum(sizes) / 2**20:.1f} MiB; within a node "
          f"{options.node_gb:g} GB/s and {options.node_latency:g} us, {options.gpus_per_node} GPUs; between nodes "
          f"{options.network_gb:g} GB/s a GPU and {options.network_latency:g} us; {options.small} small reductions")
    print(f"assumed: {100 * options.jitter:g} % waiting for the slowest rank; "
          f"{'overlap' if options.overlap else 'no overlap'}; {'bf16' if options.bf16 else 'float32'} gradients; "
          "ring within a node, then tree; see --help")
    print("| GPUs | step (s) | exposed (ms) | throughput per GPU |\n|---:|---:|---:|---:|")
    alone, _ = project(times, sizes, 1, options)
    for ranks in RANKS:
        seconds, exposed = project(times, sizes, ranks, options)
        print(f"| {ranks} | {seconds:.4g} | {1000 * exposed:.1f} | {alone / seconds:.1%} |")


if __name__ == "__main__":
    main()
