#!/usr/bin/env python3
"""Multiply-accumulates of whole models, part by part: `tessera config size` against PyTorch's FlopCounterMode on the
usual formulations (bench/reference_models).

    bench/python_macs.py TESSERA [--only SYSTEM] [--frames T] [--limit SHARE] [--markdown] [--json FILE]

Needs what bench/python_models.py needs. Both count convolutions, matrix products and attention. FlopCounterMode is
taught grid_sample (4 neighbours a sample, as ours) and torchvision's deformable convolution. PyTorch's models run on
the device "meta", which computes shapes alone.

Where Tessera computes less than the usual formulation, or more, EXPECTED has the reason and a formula of the
difference from the shapes. The script exits with 1 if a part differs from PyTorch's plus the formula by more than
--limit of the larger of the two counts, or if the numbers of parameters differ.
"""
import argparse
import json
import math
import pathlib
import subprocess
from typing import Callable, NamedTuple

import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from python_models import EXPERIMENTS, SYSTEMS, USUAL_FRAMES
from reference_models import deformable, ifc, mask2former_vis, seqformer, vistr

PARTS = ("backbone", "encoder", "decoder", "instance_head", "mask_head")
# Modules of the usual formulations, by the first part of their names. What is not here makes masks.
PART_OF = {
    "backbone": "backbone",
    "projection": "encoder", "projections": "encoder", "encoder": "encoder", "pixels": "encoder", "spatial": "encoder",
    "decoder": "decoder", "layers": "decoder", "reference_points": "decoder",
    "classes": "instance_head", "boxes": "instance_head",
}
KEPT = 10  # masks that `config size` makes of the systems that keep the best ten (query, class) pairs


class Difference(NamedTuple):
    part: str
    reason: str
    macs: Callable[[int, int, int], int]  # of frames, height, width: ours less PyTorch's


def cells(height, width, stride, size_divisor=1):
    """Cells of a frame's feature level."""
    padded = [math.ceil(side / size_divisor) * size_divisor for side in (height, width)]
    return math.prod(math.ceil(side / stride) for side in padded)


def vistr_first_convolution(frames, height, width):
    """3x3 over memory and attention maps: that over the memory is the same for all slots of a frame."""
    joined = vistr.DIM + vistr.HEADS
    once_more = frames * cells(height, width, 32) * vistr.DIM * joined * 9
    return -(vistr.SLOTS - 1) * once_more


def seqformer_masks(depth, lean=False):
    """PyTorch makes the masks of all queries after each of `depth` layers, or after the last one (`lean`)."""
    widths = seqformer.KERNELS
    per_cell = sum(a * b for a, b in widths)

    def macs(frames, height, width):
        fine, middle, coarse = (cells(height, width, stride) for stride in (8, 16, 32))
        dim, features = seqformer.DIM, seqformer.FEATURES
        convolutions = (fine + middle + coarse) * dim * dim * 9 + fine * (dim * dim // 4 + dim // 4 * features) * 9
        layers = 1 if lean else depth
        theirs = layers * frames * (convolutions + seqformer.QUERIES * fine * per_cell)
        # The first layer is linear in a cell's place: weights times places of cells once a clip, times the
        # instance's place once a frame.
        out = widths[0][0]
        ours = frames * (convolutions + KEPT * fine * (per_cell - 2 * out)) + KEPT * 2 * out * (fine + frames)
        return ours - theirs

    return macs


def seqformer_first_layer(frames, height, width):
    """The first layer's box queries are the same in all frames: PyTorch makes their sampling points and weights once."""
    samples = seqformer.HEADS * seqformer.LEVELS * deformable.POINTS
    return (frames - 1) * seqformer.QUERIES * seqformer.DIM * 3 * samples


def masks_between_layers(frames, height, width):
    """Before each layer: masks at the size of the level that it reads in place of stride 4. At the end: those kept."""
    product = mask2former_vis.QUERIES * mask2former_vis.DIM
    fine = cells(height, width, 4, 32)
    read = sum(cells(height, width, stride, 32) for stride in (32, 16, 8))
    theirs = 10 * fine * product
    ours = 3 * read * product + fine * KEPT * mask2former_vis.DIM
    return frames * (ours - theirs)


def ifc_classes(frames, height, width):
    return (ifc.LAYERS - 1) * ifc.QUERIES * (ifc.DIM * ifc.DIM + ifc.DIM * ifc.CLASSES)


def ifc_embeddings(frames, height, width):
    return (ifc.LAYERS - 1) * ifc.QUERIES * 3 * ifc.DIM * ifc.DIM


FIRST_CONVOLUTION = [Difference("mask_head", "the first convolution over the memory runs once a frame, not once a slot",
                                vistr_first_convolution)]
BETWEEN_LAYERS = [Difference("mask_head", "masks between layers at the size of the level that reads them; 10 at the end",
                             masks_between_layers)]
FIRST_LAYER = Difference("decoder", "sampling points and weights of the first layer once for each frame, not once for all",
                         seqformer_first_layer)
OF_ALL_LAYERS = "masks of the last layer's 10 kept queries; the authors' code makes those of all layers and queries"
EXPECTED = {
    "vistr": FIRST_CONVOLUTION,
    "deformable_vistr": FIRST_CONVOLUTION,
    "simvtr": FIRST_CONVOLUTION,
    "seqformer": [FIRST_LAYER, Difference("mask_head", OF_ALL_LAYERS, seqformer_masks(6))],
    "seqformer_lean": [FIRST_LAYER,
                       Difference("mask_head", "masks of 10 kept queries, not of 300", seqformer_masks(6, lean=True))],
    "mssts": [Difference("mask_head", OF_ALL_LAYERS, seqformer_masks(3))],
    "mask2former_vis": BETWEEN_LAYERS,
    "minvis": BETWEEN_LAYERS,
    "ifc": [Difference("instance_head", "classes of all 3 layers; the authors' code makes the last layer's", ifc_classes),
            Difference("mask_head", "mask embeddings of all 3 layers; the authors' code makes the last layer's",
                       ifc_embeddings)],
}


def grid_sample_flops(value, grid, *_, out_shape=None, neighbours=4, **__):
    """2 a multiply-accumulate."""
    return 2 * neighbours * math.prod(out_shape)


def volume_sample_flops(value, grid, *_, out_shape=None, **__):
    return grid_sample_flops(value, grid, out_shape=out_shape, neighbours=8)


def deform_conv_flops(value, weight, offset, *_, out_shape=None, **__):
    """Samples of 4 neighbours for each tap and channel of every cell, then the product with the weights."""
    frames, _, height, width = out_shape
    out_channels, in_channels, taps_y, taps_x = weight
    places = frames * height * width
    taps = in_channels * taps_y * taps_x
    return 2 * (places * taps * 4 + places * out_channels * taps)


class PartTotals:
    """Gives what a FlopCounterMode counts to the part of the innermost module that runs."""

    def __init__(self, model, counter):
        self.counter, self.flops, self.running, self.seen = counter, dict.fromkeys(PARTS, 0), [], 0
        for name, module in model.named_modules():
            part = PART_OF.get(name.split(".")[0], "mask_head")
            module.register_forward_pre_hook(lambda *_, part=part: self.enter(part))
            module.register_forward_hook(lambda *_: self.leave())

    def enter(self, part):
        self.settle()
        self.running.append(part)

    def leave(self):
        self.settle()
        self.running.pop()

    def settle(self):
        total = self.counter.get_total_flops()
        self.flops[self.running[-1] if self.running else "mask_head"] += total - self.seen
        self.seen = total


def theirs(make, frames, size):
    """Parameters, and multiply-accumulates of each part."""
    assert torchvision.extension._has_ops()  # deform_conv2d is registered
    mapping = {
        torch.ops.aten.grid_sampler_2d: grid_sample_flops,
        torch.ops.aten.grid_sampler_3d: volume_sample_flops,
        torch.ops.torchvision.deform_conv2d: deform_conv_flops,
    }
    with torch.device("meta"), torch.no_grad():
        model = make(frames).eval().requires_grad_(False)  # the counter trips over parameters as inputs
        with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
            totals = PartTotals(model, counter)
            model.raw(torch.empty(frames, 3, *size))
            totals.settle()
    parts = {part: flops // 2 for part, flops in totals.flops.items()}
    assert sum(parts.values()) == counter.get_total_flops() // 2
    return sum(p.numel() for p in model.parameters()), parts


def ours(tessera, experiment, frames, size):
    command = [tessera, "config", "size", str(EXPERIMENTS / (experiment + ".toml")), "--json"]
    command += ["--frames", str(frames), "--height", str(size[0]), "--width", str(size[1])]
    command += ["--set", f"data.num_frames={frames}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)["experiments"][0]
    return found["total"]["parameters"], {part: found["parts"][part]["macs"] for part in PARTS}


def compare(tessera, name, frames):
    """A system's figures: of each part ours, PyTorch's, and what their difference should be."""
    system = SYSTEMS[name]
    # A window of one frame is a forward of its own.
    window = 1 if system.window == 1 else frames
    parameters, mine = ours(tessera, system.experiment, window, system.size)
    mine = {part: frames // window * macs for part, macs in mine.items()}
    their_parameters, other = theirs(system.make, frames, system.size)
    parts = {part: {"macs": mine[part], "pytorch_macs": other[part], "expected_difference": 0, "reason": ""}
             for part in PARTS}
    for difference in EXPECTED[name]:
        parts[difference.part].update(expected_difference=difference.macs(frames, *system.size), reason=difference.reason)
    height, width = system.size
    return {"frames": frames, "height": height, "width": width, "parameters": parameters,
            "pytorch_parameters": their_parameters, "macs": sum(mine.values()), "pytorch_macs": sum(other.values()),
            "parts": parts}


def unexplained(part):
    """Share of a part that neither PyTorch's count nor the formula has."""
    rest = part["macs"] - part["pytorch_macs"] - part["expected_difference"]
    return abs(rest) / max(part["macs"], part["pytorch_macs"], 1)


def print_row(name, part, markdown):
    texts = ["%.3f" % (part[key] / 1e9) for key in ("macs", "pytorch_macs")]
    texts.append("%+.4f" % ((part["macs"] - part["pytorch_macs"]) / 1e9))
    texts.append("%+.4f" % (part["expected_difference"] / 1e9))
    if markdown:
        print("| " + " | ".join([name, *texts, part["reason"]]) + " |", flush=True)
    else:
        print("  %-16s %9s  %9s  %9s  %9s  %s" % (name, *texts, part["reason"]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tessera")
    parser.add_argument("--only", choices=SYSTEMS)
    parser.add_argument("--frames", type=int, default=USUAL_FRAMES)
    parser.add_argument("--limit", type=float, default=1e-3)
    parser.add_argument("--markdown", action="store_true", help="rows of a table for a page")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    figures, wrong = {}, []
    for name in [arguments.only] if arguments.only else SYSTEMS:
        found = figures[name] = compare(arguments.tessera, name, arguments.frames)
        print("%s, T=%d, %dx%d: %d parameters, PyTorch %d; 10^9 multiply-accumulates ours, PyTorch's, difference, "
              "by the formula" % (name, found["frames"], found["height"], found["width"], found["parameters"],
                                  found["pytorch_parameters"]))
        for part in PARTS:
            print_row(part, found["parts"][part], arguments.markdown)
            if unexplained(found["parts"][part]) > arguments.limit:
                wrong.append(f"{name}.{part}")
        sums = {key: sum(part[key] for part in found["parts"].values())
                for key in ("macs", "pytorch_macs", "expected_difference")}
        print_row("model", dict(sums, reason="%+.1f %%" % (100 * (sums["macs"] / sums["pytorch_macs"] - 1))),
                  arguments.markdown)
        if found["parameters"] != found["pytorch_parameters"]:
            wrong.append(f"{name}.parameters")
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(figures, indent=1) + "\n")
    if wrong:
        raise SystemExit("differences without a reason: " + ", ".join(wrong))


if __name__ == "__main__":
    main()
