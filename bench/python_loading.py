#!/usr/bin/env python3
"""Clips a second on one core: `tessera bench data` against the same steps in Python.

    bench/python_loading.py TESSERA ANNOTATIONS IMAGES [--clips 12] [--rounds 5] [--json FILE]

Needs numpy, opencv-python-headless 4.12.0.88 and pycocotools 2.0.10. Every round runs both once, one after the
other, on the same core; the figures are medians. Recipes:

  vistr          T=36: flip, photometric distortion of the whole image, resize, short side 300 (VisTR)
  vistr_crop     T=36: flip, photometric distortion, resize, crop 384..600, short side 300
  mask2former    T=2: flip, short side 360 (Mask2Former-VIS)
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

import cv2
import numpy
from pycocotools import mask as coco_mask

MEAN = numpy.array([0.485, 0.456, 0.406], numpy.float32)
DEVIATION = numpy.array([0.229, 0.224, 0.225], numpy.float32)
SHORT_SIDES = list(range(480, 769, 32))
RECIPES = {
    "vistr": {"frames": 36, "photometric": True, "first": (SHORT_SIDES, 800), "crop": None, "last": (300, 540)},
    "vistr_crop": {"frames": 36, "photometric": True, "first": ([400, 500, 600], 0), "crop": (384, 600), "last": (300, 540)},
    "mask2former": {"frames": 2, "photometric": False, "first": None, "crop": None, "last": (360, 1333)},
}


def toml_of(recipe):
    """The same recipe as Tessera's [data.augment]."""
    lines = ['extends = "%s"' % (pathlib.Path(__file__).resolve().parent.parent / "experiments/smoke/vistr.toml")]
    lines += ["[data]", "num_frames = %d" % recipe["frames"], "[data.augment]"]
    lines += ["short_side = %d" % recipe["last"][0], "max_side = %d" % recipe["last"][1]]
    steps = ['{ kind = "flip", probability = 0.5 }']
    if recipe["photometric"]:
        steps.append('{ kind = "photometric" }')
    if recipe["first"]:
        sides, limit = recipe["first"]
        limits = ", max_side = %d" % limit if limit else ""
        if recipe["crop"]:
            steps.append('{ kind = "crop", short_sides = %s, smallest = %d, largest = %d }' % (sides, *recipe["crop"]))
        else:
            steps.append('{ kind = "resize", short_sides = %s%s }' % (sides, limits))
    lines.append("steps = [%s]" % ", ".join(steps))
    return "\n".join(lines) + "\n"


def size_for(height, width, short_side, limit):
    scale = short_side / min(height, width)
    if limit:
        scale = min(scale, limit / max(height, width))
    return round(width * scale), round(height * scale)


def photometric(image, draw):
    """SSD's distortion in float, as the DETR-style recipes have it."""
    image = image.astype(numpy.float32)
    image += draw["brightness"]
    if draw["contrast_first"]:
        image *= draw["contrast"]
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 1] *= draw["saturation"]
    hsv[..., 0] += draw["hue"]
    hsv[..., 0][hsv[..., 0] > 360] -= 360
    hsv[..., 0][hsv[..., 0] < 0] += 360
    image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if not draw["contrast_first"]:
        image *= draw["contrast"]
    if draw["order"] != [0, 1, 2]:
        image = image[..., draw["order"]]
    return numpy.clip(image, 0, 255)


class Loader:
    def __init__(self, annotations, images, recipe):
        data = json.loads(pathlib.Path(annotations).read_text())
        self.videos = data["videos"]
        self.tracks = {video["id"]: [] for video in self.videos}
        for annotation in data["annotations"]:
            self.tracks[annotation["video_id"]].append(annotation)
        self.images = pathlib.Path(images)
        self.recipe = recipe

    def load(self, index):
        recipe, rng = self.recipe, random.Random(index)
        video = self.videos[index % len(self.videos)]
        count = recipe["frames"]
        start = rng.randrange(video["length"])
        frames = [(start + i) % video["length"] for i in range(count)]
        flip = rng.random() < 0.5
        maybe = lambda value, neutral: value if rng.random() < 0.5 else neutral
        draw = {
            "brightness": maybe(rng.uniform(-32, 32), 0),
            "contrast_first": rng.random() < 0.5,
            "contrast": maybe(rng.uniform(0.5, 1.5), 1),
            "saturation": maybe(rng.uniform(0.5, 1.5), 1),
            "hue": maybe(rng.uniform(-18, 18), 0),
            "order": maybe(rng.sample([0, 1, 2], 3), [0, 1, 2]),
        }
        geometry, size = [], (video["width"], video["height"])
        if recipe["first"]:
            size = size_for(size[1], size[0], rng.choice(recipe["first"][0]), recipe["first"][1])
            geometry.append(("resize", size))
        if recipe["crop"]:
            low, high = recipe["crop"]
            width = rng.randint(min(low, size[0]), min(high, size[0]))
            height = rng.randint(min(low, size[1]), min(high, size[1]))
            geometry.append(("crop", (rng.randint(0, size[0] - width), rng.randint(0, size[1] - height), width, height)))
            size = (width, height)
        size = size_for(size[1], size[0], *recipe["last"])
        geometry.append(("resize", size))

        def moved(image, how):
            for kind, value in geometry:
                if kind == "resize":
                    image = cv2.resize(image, value, interpolation=how)
                else:
                    x, y, width, height = value
                    image = image[y : y + height, x : x + width]
            return image

        clip = numpy.empty((count, 3, size[1], size[0]), numpy.float32)
        for t, frame in enumerate(frames):
            image = cv2.cvtColor(cv2.imread(str(self.images / video["file_names"][frame])), cv2.COLOR_BGR2RGB)
            if flip:
                image = image[:, ::-1]
            if recipe["photometric"]:
                image = photometric(image, draw)
            image = moved(numpy.ascontiguousarray(image), cv2.INTER_LINEAR)
            image = (image.astype(numpy.float32) / 255 - MEAN) / DEVIATION
            clip[t] = image.transpose(2, 0, 1)
        tracks = self.tracks[video["id"]]
        masks = numpy.zeros((len(tracks), count, size[1], size[0]), bool)
        boxes = numpy.zeros((len(tracks), count, 4), numpy.float32)
        for n, track in enumerate(tracks):
            for t, frame in enumerate(frames):
                segmentation = track["segmentations"][frame]
                if segmentation is None:
                    continue
                mask = coco_mask.decode(segmentation)
                if flip:
                    mask = mask[:, ::-1]
                mask = moved(numpy.ascontiguousarray(mask), cv2.INTER_NEAREST)
                masks[n, t] = mask
                rows, columns = numpy.flatnonzero(mask.any(1)), numpy.flatnonzero(mask.any(0))
                if len(rows):
                    boxes[n, t] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        return clip, masks, boxes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tessera")
    parser.add_argument("annotations")
    parser.add_argument("images")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=RECIPES)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, recipe in RECIPES.items():
            if arguments.only not in (None, name):
                continue
            experiment = pathlib.Path(folder) / (name + ".toml")
            experiment.write_text(toml_of(recipe))
            loader = Loader(arguments.annotations, arguments.images, recipe)
            categories = len(json.loads(pathlib.Path(arguments.annotations).read_text())["categories"])
            command = [arguments.tessera, "bench", "data", str(experiment), "--clips", str(arguments.clips)]
            command += ["--json", folder + "/out.json", "--set", "data.num_categories=%d" % categories]
            command += ["--set", "data.train.annotations=" + arguments.annotations]
            command += ["--set", "data.train.images=" + arguments.images]
            ours, theirs = [], []
            loader.load(0)
            for _ in range(arguments.rounds):
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                ours.append(json.loads(pathlib.Path(folder, "out.json").read_text())["clips_per_second"])
                start = time.perf_counter()
                for i in range(arguments.clips):
                    loader.load(i)
                theirs.append(arguments.clips / (time.perf_counter() - start))
            ours, theirs = statistics.median(ours), statistics.median(theirs)
            figures[name] = {"clips_per_second": ours, "python_clips_per_second": theirs, "ratio": ours / theirs}
            print("%-12s %7.2f clips/s, Python %7.2f, ratio %.1f" % (name, ours, theirs, ours / theirs))
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
