#!/usr/bin/env python3
"""Multiply-accumulates of whole models: `tessera config size` against PyTorch's FlopCounterMode on the usual
formulations (bench/reference_models).

    bench/python_macs.py TESSERA [--only SYSTEM] [--frames T] [--limit PART] [--json FILE]

Needs what bench/python_models.py needs. `tessera config size` counts what Tessera runs, which for some systems is less
than the usual formulation (FEWER says why and how much). Both count convolutions, matrix products and attention. FlopCounterMode is
taught grid_sample (4 neighbours a sample, as ours) and torchvision's deformable convolution. Exits with 1 if a system
differs by more than --limit of the total from what is expected.
"""
import argparse
import json
import pathlib
import subprocess

import torch
from torch.utils.flop_counter import FlopCounterMode

from python_models import EXPERIMENTS, SYSTEMS, USUAL_FRAMES

ONCE_A_FRAME = "the mask head's first convolution runs once a frame, not once for each query in it"
# Share of the usual formulation that Tessera does not compute, for T = 4, and why. The shares are those that were
# measured; the reasons were compared part by part for VisTR, and by seqformer_lean for SeqFormer.
FEWER = {
    "vistr": (0.08, ONCE_A_FRAME),
    "deformable_vistr": (0.08, ONCE_A_FRAME),
    "simvtr": (0.09, ONCE_A_FRAME),
    "seqformer": (0.26, "masks of the last layer's kept tracks only; the usual code makes those of all layers and queries"),
    "mask2former_vis": (0.06, "masks between layers are computed at the size of the level that reads them"),
}


def grid_sample_flops(value, grid, *_, out_shape=None, **__):
    """2 a multiply-accumulate, 4 neighbours."""
    count = 2 * 4
    for size in out_shape:
        count *= size
    return count


def deform_conv_flops(value, weight, offset, *_, out_shape=None, **__):
    """Samples of 4 neighbours for each tap and channel of every cell, then the product with the weights."""
    frames, _, height, width = out_shape
    out_channels, in_channels, taps_y, taps_x = weight
    cells = frames * height * width
    taps = in_channels * taps_y * taps_x
    return 2 * (cells * taps * 4 + cells * out_channels * taps)


def theirs(make, frames, size):
    torch.manual_seed(1)
    import torchvision  # registers deform_conv2d

    assert torchvision.extension._has_ops()
    model = make(frames).eval().requires_grad_(False)  # the counter trips over parameters as inputs
    mapping = {
        torch.ops.aten.grid_sampler_2d: grid_sample_flops,
        torch.ops.aten.grid_sampler_3d: lambda *a, **k: 2 * grid_sample_flops(*a, **k),
        torch.ops.torchvision.deform_conv2d: deform_conv_flops,
    }
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        model.infer(torch.randn(frames, 3, *size))
    return counter.get_total_flops() // 2


def ours(tessera, experiment, frames, size):
    command = [tessera, "config", "size", str(EXPERIMENTS / (experiment + ".toml")), "--json"]
    command += ["--frames", str(frames), "--height", str(size[0]), "--width", str(size[1])]
    command += ["--set", f"data.num_frames={frames}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)["experiments"][0]
    return found["total"]["macs"], {part: entry["macs"] for part, entry in found["parts"].items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tessera")
    parser.add_argument("--only", choices=SYSTEMS)
    parser.add_argument("--frames", type=int, default=USUAL_FRAMES)
    parser.add_argument("--limit", type=float, default=0.02)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    figures, too_far = {}, []
    for name in [arguments.only] if arguments.only else SYSTEMS:
        experiment, make, size, _ = SYSTEMS[name]
        mine, parts = ours(arguments.tessera, experiment, arguments.frames, size)
        other = theirs(make, arguments.frames, size)
        difference = mine / other - 1
        figures[name] = {"frames": arguments.frames, "height": size[0], "width": size[1], "macs": mine,
                         "pytorch_macs": other, "difference": difference, "parts": parts}
        fewer, reason = FEWER.get(name, (0.0, ""))
        print("%-18s T=%d %dx%d: %8.2f G, PyTorch %8.2f G, %+.2f %% %s"
              % (name, arguments.frames, *size, mine / 1e9, other / 1e9, 100 * difference, reason), flush=True)
        if abs(difference + fewer) > arguments.limit:
            too_far.append(name)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(figures, indent=1) + "\n")
    if too_far:
        raise SystemExit("too far apart: " + ", ".join(too_far))


if __name__ == "__main__":
    main()
