#!/usr/bin/env python3
"""Whole models: `tessera bench model` against their usual PyTorch formulations (bench/reference_models).

    bench/python_models.py TESSERA [--only SYSTEM] [--what inference|training] [--frames T ...] [--rounds N]
                           [--threads N] [--max-memory GB] [--set KEY=VALUE ...] [--json FILE]

Needs torch and the torchvision of the same release (torch 2.11: torchvision 0.26) and scipy from PyPI. Both have
random weights and clips of the same size, and work on the same threads. Every round runs both, one after the
other; the figures are medians. Before that the number of parameters and the shapes of the outputs are compared.
Sizes are the published ones: 300x533 of VisTR and what is made of it, 360x640 of the others. seqformer_lean is
SeqFormer without what its code computes and never uses. MS-STS VIS and MinVIS are compared in inference only; MinVIS'
training step is that of Mask2Former-VIS with --frames 1. Of IFC both keep the ten best (query, class) pairs.
--set changes Tessera's experiment (train.recompute, ...).
A case that needs more memory than --max-memory, in either process, is left out with a line that says so.
"""
import argparse
import concurrent.futures
import ctypes
import json
import multiprocessing
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time
from typing import Callable, NamedTuple

import torch

from reference_models.ifc import Ifc
from reference_models.mask2former_vis import Mask2FormerVis
from reference_models.minvis import MinVis
from reference_models.mssts import MsStsVis
from reference_models.seqformer import SeqFormer
from reference_models.simvtr import SimVTR
from reference_models.vistr import SLOTS, VisTR

EXPERIMENTS = pathlib.Path(__file__).resolve().parent.parent / "experiments"
CATEGORIES = 40
USUAL_FRAMES = 4  # cases of so many frames have no frames in their names


class System(NamedTuple):
    experiment: str
    make: Callable[[int], torch.nn.Module]  # of the number of frames
    size: tuple[int, int]
    masks: int
    what: tuple[str, ...] = ("inference", "training")
    window: int | str = "all"
    settings: tuple[str, ...] = ()  # of Tessera's experiment


SYSTEMS = {
    "vistr": System("vistr_r50", VisTR, (300, 533), SLOTS),
    "deformable_vistr": System("deformable_vistr_r50", lambda frames: VisTR(frames, deformable=True), (300, 533), SLOTS),
    "simvtr": System("simvtr_r50_ytvis2021", SimVTR, (300, 533), SLOTS),
    "seqformer": System("seqformer_r50_ytvis2019", SeqFormer, (360, 640), 10),
    "seqformer_lean": System("seqformer_r50_ytvis2019", lambda frames: SeqFormer(frames, lean=True), (360, 640), 10),
    "mssts": System("mssts_r50_ytvis2019", MsStsVis, (360, 640), 10, what=("inference",)),
    "mask2former_vis": System("mask2former_vis_r50_ytvis2019", Mask2FormerVis, (360, 640), 10),
    "minvis": System("minvis_r50_ytvis2019", MinVis, (360, 640), 10, what=("inference",), window=1),
    "ifc": System("ifc_r50_ytvis2019", Ifc, (360, 640), 10,
                  settings=('inference.select="top_k"', "inference.top_k=10")),
}


def make_targets(instances, frames, height, width):
    """Moving rectangles of a sixth of the area, as `tessera bench model` draws them."""
    side = 6**-0.5
    box_height, box_width = int(side * height), int(side * width)
    masks = torch.zeros(instances, frames, height, width, dtype=torch.bool)
    boxes = torch.zeros(instances, frames, 4)
    for n in range(instances):
        for t in range(frames):
            top, left = (7 * n + 2 * t) % (height - box_height + 1), (13 * n + 3 * t) % (width - box_width + 1)
            masks[n, t, top : top + box_height, left : left + box_width] = True
            boxes[n, t] = torch.tensor([(left + box_width / 2) / width, (top + box_height / 2) / height,
                                        box_width / width, box_height / height])
    return {"labels": torch.arange(instances) % CATEGORIES, "masks": masks, "boxes": boxes}


class TooLarge(Exception):
    """A case beyond --max-memory."""


def limit_memory(bytes_):
    """Of this process and those that it starts."""
    resource.setrlimit(resource.RLIMIT_DATA, (bytes_, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def is_about_memory(message):
    return any(words in message for words in ("memory", "bad_alloc", "could not create a primitive"))


def available_bytes():
    fields = pathlib.Path("/proc/meminfo").read_text().split()
    return 1024 * int(fields[fields.index("MemAvailable:") + 1])


def begin_peak():
    ctypes.CDLL(None).malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def peak_bytes():
    status = pathlib.Path("/proc/self/status").read_text().split()
    return 1024 * int(status[status.index("VmHWM:") + 1])


class Opponent:
    """One system's usual formulation; step() is what is measured."""

    def __init__(self, make, frames, size, instances, what):
        self.model, self.what = make(frames), what
        self.frames = torch.randn(frames, 3, *size)
        self.targets = make_targets(instances, frames, *size)
        self.parameters = sum(p.numel() for p in self.model.parameters())
        self.optimiser = self.model.optimiser()

    def step(self):
        if self.what == "inference":
            self.model.eval()
            with torch.no_grad():
                return self.model.infer(self.frames)
        self.model.train()
        self.optimiser.zero_grad()
        self.model.loss(self.frames, self.targets).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.model.clip_norm)
        self.optimiser.step()

    def peak(self):
        begin_peak()
        self.step()
        return peak_bytes()

    def seconds(self):
        start = time.perf_counter()
        self.step()
        return time.perf_counter() - start


def ours(arguments, system, frames, what, rounds):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        experiment = str(EXPERIMENTS / (system.experiment + ".toml"))
        command = [arguments.tessera, "bench", "model", experiment, "--json", file.name]
        command += ["--frames", str(frames), "--height", str(system.size[0]), "--width", str(system.size[1])]
        command += ["--only", what, "--rounds", str(rounds), "--threads", str(arguments.threads)]
        command += ["--instances", str(arguments.instances), "--set", f"inference.window={json.dumps(system.window)}"]
        command += [word for override in [*system.settings, *arguments.set] for word in ("--set", override)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise (TooLarge if is_about_memory(done.stderr) else SystemExit)(f"{command[0]}: {done.stderr}")
        result = json.loads(pathlib.Path(file.name).read_text())["models"][0]
    return result["parameters"], result[what]["float32"]


def expect_same(name, parameters, opponent, size, masks):
    if parameters != opponent.parameters:
        raise SystemExit(f"{name}: expected {parameters} parameters as Tessera's, got {opponent.parameters}")
    opponent.model.eval()
    with torch.no_grad():
        found = tuple(opponent.model.infer(opponent.frames)[0].shape)
    expected = (masks, len(opponent.frames), *size)
    if found != expected:
        raise SystemExit(f"{name}: expected masks of shape {expected}, got {found}")


def compare(arguments, name, what, frames):
    system = SYSTEMS[name]
    size = system.size
    opponent = Opponent(system.make, frames, size, arguments.instances, what)
    parameters, _ = ours(arguments, system, frames, "inference", 1)
    expect_same(name, parameters, opponent, size, system.masks)
    their_peak = opponent.peak()  # and everything is warm
    mine, theirs, parts = [], [], []
    for _ in range(arguments.rounds):
        result = ours(arguments, system, frames, what, 1)[1]
        mine.append((result["seconds"], result["peak_bytes"]))
        parts.append(result["parts"])
        theirs.append(opponent.seconds())
    seconds, peak = (statistics.median(column) for column in zip(*mine))
    their_seconds = statistics.median(theirs)
    figures = {
        "frames": frames, "height": size[0], "width": size[1], "parameters": parameters,
        "seconds": seconds, "opponent_seconds": their_seconds, "ratio": their_seconds / seconds,
        "peak_bytes": peak, "opponent_peak_bytes": their_peak, "memory": peak / their_peak,
        "parts": {part: statistics.median(p.get(part, 0.0) for p in parts) for part in parts[0]},
        "rounds": [[a, b] for (a, _), b in zip(mine, theirs)],
    }
    print("%-18s %-9s T=%d %7.3f s, PyTorch %7.3f s, %5.2fx; %5.0f MB, PyTorch %5.0f MB, %.2f"
          % (name, what, frames, seconds, their_seconds, figures["ratio"], peak / 1e6, their_peak / 1e6, figures["memory"]),
          flush=True)
    return figures


def compare_where_it_fits(arguments, name, what, frames):
    """The figures of one case, or None. For a process of its own: what an earlier case left in the allocator would
    count as this one's memory."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    limit_memory(int(1e9 * arguments.max_memory))
    try:
        return compare(arguments, name, what, frames)
    except (TooLarge, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_about_memory(str(error)):
            raise
        reason = " ".join(str(error).split())[:160]
        print(f"{name:18s} {what:9s} T={frames} left out: more than {arguments.max_memory:.1f} GB ({reason})", flush=True)
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tessera")
    parser.add_argument("--only", choices=SYSTEMS)
    parser.add_argument("--what", choices=["inference", "training"])
    parser.add_argument("--frames", type=int, nargs="+", default=[USUAL_FRAMES])
    parser.add_argument("--instances", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--max-memory", type=float, default=0.8e-9 * available_bytes(), metavar="GB",
                        help="of each of the two processes; by default 80 %% of what is available now")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    result = {"what": "model", "device": "cpu", "threads": arguments.threads, "torch": torch.__version__, "set": arguments.set,
              "ratios": {}, "opponent_seconds": {}, "memory": {}, "cases": {}}
    for name in [arguments.only] if arguments.only else SYSTEMS:
        for what in [arguments.what] if arguments.what else SYSTEMS[name].what:
            if what not in SYSTEMS[name].what:
                print(f"{name:18s} {what:9s} left out: {name} is compared in {SYSTEMS[name].what[0]} only", flush=True)
                continue
            for frames in arguments.frames:
                spawn = multiprocessing.get_context("spawn")
                with concurrent.futures.ProcessPoolExecutor(max_workers=1, mp_context=spawn) as process:
                    figures = process.submit(compare_where_it_fits, arguments, name, what, frames).result()
                if figures is None:
                    continue
                key = f"{name}.{what}" if frames == USUAL_FRAMES else f"{name}.{what}.T{frames}"
                result["ratios"][key] = figures["ratio"]
                result["opponent_seconds"][key] = figures["opponent_seconds"]
                result["memory"][key] = figures["memory"]
                result["cases"][key] = figures
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
