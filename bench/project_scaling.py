#!/usr/bin/env python3
"""Projects the step time of data-parallel training from one GPU to many.

Input is what was measured on one GPU (a run's profile.jsonl, or numbers) and what the links do; the
output says how long a step takes and how much of it waits for other GPUs. It is arithmetic, not a
measurement; the assumptions are printed with the result:

  * every rank computes as long as the measured one did, plus `--jitter` (waiting for the slowest rank);
  * gradients become ready evenly over backward, the last parameters first, in buckets of `--bucket-mib`
    with a first one of 1 MiB; a bucket is sent as soon as it is ready and the one before has left;
  * a bucket of b bytes costs a ring: 2 (n-1)/n * b / bandwidth + 2 (n-1) * latency with n ranks of one
    node, and between nodes a tree: 2 b / bandwidth + 2 ceil(log2 nodes) * latency, with the node's
    network bandwidth shared by nobody else (NCCL picks what is best for it: this is a cautious model);
  * the small reductions of normalisers cost one latency each (`--small`).

Example:
  bench/project_scaling.py --forward 0.18 --backward 0.34 --optimiser 0.02 --parameters 57.1e6 \\
    --gpus-per-node 8 --node-gb 300 --network-gb 25
"""
import argparse
import json
import math


def buckets(total, bucket):
    """Bytes of each bucket in the order in which they are sent."""
    sizes = [min(total, 1 << 20)]
    left = total - sizes[0]
    while left > 0:
        sizes.append(min(left, bucket))
        left -= sizes[-1]
    return sizes


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


def exposed_seconds(ranks, options):
    """Time after the last gradient is ready until every bucket is averaged."""
    nodes = math.ceil(ranks / options.gpus_per_node)
    total = options.parameters * (2 if options.bf16 else 4)
    sizes = buckets(total, options.bucket_mib * 2**20)
    ready = free = 0.0
    for size in sizes:
        ready += options.backward * size / total
        start = max(ready if options.overlap else options.backward, free)
        free = start + reduce_seconds(size, ranks, nodes, options)
    return max(0.0, free - options.backward)


def project(ranks, options):
    """(step seconds, exposed seconds) with that many ranks."""
    compute = options.forward + options.backward + options.optimiser
    if ranks == 1:
        return compute, 0.0
    nodes = math.ceil(ranks / options.gpus_per_node)
    latency = options.network_latency if nodes > 1 else options.node_latency
    small = options.small * 2 * math.ceil(math.log2(ranks)) * latency * 1e-6
    exposed = exposed_seconds(ranks, options) + small
    return compute * (1 + options.jitter) + exposed, exposed


def read_profile(path):
    """Means over a profile.jsonl, its first tenth left out (allocations, caches)."""
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    lines = lines[len(lines) // 10:]
    return {key: sum(line[key] for line in lines) / len(lines)
            for key in ("forward", "backward", "exposed", "optimiser")}


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", help="profile.jsonl of one GPU instead of the three times")
    parser.add_argument("--forward", type=float, default=0.18, help="seconds of a step, criterion included")
    parser.add_argument("--backward", type=float, default=0.34, help="seconds")
    parser.add_argument("--optimiser", type=float, default=0.02, help="seconds")
    parser.add_argument("--parameters", type=float, required=True, help="trained parameters")
    parser.add_argument("--gpus-per-node", type=int, default=8)
    parser.add_argument("--node-gb", type=float, default=300, help="GB/s of a GPU within a node")
    parser.add_argument("--node-latency", type=float, default=5, help="microseconds a hop")
    parser.add_argument("--network-gb", type=float, default=25, help="GB/s between nodes, for a GPU's share")
    parser.add_argument("--network-latency", type=float, default=15, help="microseconds a hop")
    parser.add_argument("--bucket-mib", type=float, default=25)
    parser.add_argument("--small", type=int, default=10, help="small reductions a step")
    parser.add_argument("--jitter", type=float, default=0.03, help="share of compute waited for the slowest rank")
    parser.add_argument("--bf16", action="store_true", help="gradients travel as bf16")
    parser.add_argument("--no-overlap", dest="overlap", action="store_false")
    options = parser.parse_args()
    if options.profile:
        measured = read_profile(options.profile)
        options.forward, options.optimiser = measured["forward"], measured["optimiser"]
        options.backward = measured["backward"] - measured["exposed"]
    print(f"forward {options.forward:.3f} s, backward {options.backward:.3f} s, "
          f"optimiser {options.optimiser:.3f} s, {options.parameters / 1e6:.1f} M parameters")
    print("assumed:", ", ".join(f"{key} {value}" for key, value in sorted(vars(options).items())
                                if key not in ("profile", "forward", "backward", "optimiser", "parameters")))
    print("| GPUs | step (s) | exposed (ms) | clips/s per GPU, relative |\n|---:|---:|---:|---:|")
    alone, _ = project(1, options)
    for ranks in (1, 8, 16, 32, 64, 128, 256, 512, 1024):
        step, exposed = project(ranks, options)
        print(f"| {ranks} | {step:.3f} | {1000 * exposed:.1f} | {alone / step:.1%} |")


if __name__ == "__main__":
    main()
