#!/usr/bin/env python3
"""Milliseconds of decoding and resizing a JPEG frame: data.resize fast and antialiased, and Pillow.

    bench/resizing.py PROGRAM [--rounds 31] [--image FILE] [--json FILE]

PROGRAM is the test program build/release/bin/resized_images. Needs Pillow (`pip install pillow==11.3.0`). Every
round runs each contestant once, one after the other, on the same core; the figures are medians. Without --image
the frames are blurred noise of 1280x720 and 1920x1080 pixels.
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

import PIL
from PIL import Image, ImageFilter

SIZES = [((1280, 720), 360), ((1280, 720), 480), ((1280, 720), 300), ((1920, 1080), 360)]


def frame(size):
    rng = random.Random(1)
    noise = Image.frombytes("RGB", (size[0] // 4, size[1] // 4), rng.randbytes(size[0] * size[1] * 3 // 16))
    return noise.resize(size, Image.BICUBIC).filter(ImageFilter.GaussianBlur(1))


def pillow(file, size):
    start = time.perf_counter()
    image = Image.open(file).convert("RGB")
    middle = time.perf_counter()
    image.resize(size, Image.BILINEAR)
    return (middle - start) * 1e3, (time.perf_counter() - middle) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--image")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    program = subprocess.Popen([arguments.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env=dict(os.environ, OMP_NUM_THREADS="1"))

    def ours(resize, file, short_side):
        print(resize, "down", short_side, 0, file, "-", file=program.stdin, flush=True)
        width, height, decoding, resizing = program.stdout.readline().split()
        return (int(width), int(height)), (float(decoding), float(resizing))

    results = []
    print(f"Pillow {PIL.__version__}; decoding + resizing, ms")
    with tempfile.TemporaryDirectory() as folder:
        for size, short_side in SIZES:
            file = arguments.image or pathlib.Path(folder, "%dx%d.jpg" % size)
            if not arguments.image:
                frame(size).save(file, quality=90)
            times = {"fast": [], "antialiased": [], "Pillow": []}
            for _ in range(arguments.rounds):
                for resize in ("fast", "antialiased"):
                    result_size, figures = ours(resize, file, short_side)
                    times[resize].append(figures)
                times["Pillow"].append(pillow(file, result_size))
            medians = {name: [statistics.median(part) for part in zip(*figures)] for name, figures in times.items()}
            stored = Image.open(file).size
            results.append({"from": stored, "to": result_size, "milliseconds": medians})
            print("%dx%d to %dx%d: " % (*stored, *result_size)
                  + ", ".join("%s %.2f + %.2f" % (name, *parts) for name, parts in medians.items()))
    program.stdin.close()
    program.wait()
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
