#!/usr/bin/env python3
"""Times Tessera's deformable convolution against torchvision's CPU operator, in one process.

    bench/torchvision_deform_conv.py build/release/lib/libtessera_core.so [--rounds N] [--json FILE]

Needs torch and the torchvision of the same release (torch 2.11: torchvision 0.26) from PyPI. Each
round runs both once; the figures are medians. Both results are compared before anything is timed.
"""
import argparse
import json
import statistics
import time

import torch
from torchvision.ops import deform_conv2d

# VisTR's last mask layer (R50, 300x533, T = 4, 10 slots): maps, height, width, in, out.
SHAPES = [(40, 75, 133, 48, 24)]


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def contestants(maps, height, width, channels_in, channels_out):
    image = torch.randn(maps, channels_in, height, width, requires_grad=True)
    offset = (2 * torch.randn(maps, 18, height, width)).requires_grad_()
    weight = (torch.randn(channels_out, channels_in, 3, 3) / 10).requires_grad_()
    bias = torch.randn(channels_out, requires_grad=True)
    grad = torch.randn(maps, channels_out, height, width)
    ours = torch.ops.tessera.deform_conv2d

    def tessera():
        return ours(image, offset, None, weight, bias, [1, 1], [1, 1], [1, 1], 1, 1, True)

    def torchvision():
        return deform_conv2d(image, offset, weight, bias, padding=1)

    def backward(forward):
        return torch.autograd.grad(forward(), (image, offset, weight, bias), grad)

    for found, expected in zip((tessera(), *backward(tessera)), (torchvision(), *backward(torchvision))):
        scale = expected.abs().max()
        worst = ((found - expected).abs().max() / scale).item()
        if not worst < 1e-4:
            raise SystemExit(f"expected equal results, got a difference of {worst:.1e} of the scale")

    def forward_only(forward):
        with torch.no_grad():
            forward()

    return {
        "forward": (lambda: forward_only(tessera), lambda: forward_only(torchvision)),
        "forward_backward": (lambda: backward(tessera), lambda: backward(torchvision)),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("core", help="libtessera_core.so")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--json")
    options = arguments.parse_args()
    torch.ops.load_library(options.core)
    torch.manual_seed(1)
    result = {"what": "deform_conv2d", "threads": torch.get_num_threads(), "ratios": {}, "cases": []}
    for shape in SHAPES:
        for name, (ours, theirs) in contestants(*shape).items():
            taken = [(seconds(ours), seconds(theirs)) for _ in range(options.rounds + 1)][1:]
            mine, their = (statistics.median(column) for column in zip(*taken))
            full_name = f"deform_conv2d.{name}.vs_torchvision"
            result["ratios"][full_name] = their / mine
            result["cases"].append({"name": full_name, "shape": shape, "seconds": mine,
                                    "opponent_seconds": their})
            print(f"{full_name}: {1e3 * mine:.1f} ms against {1e3 * their:.0f} ms, {their / mine:.1f}x")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
