#!/usr/bin/env python3
"""Writes an annotation file and results of the size of YouTube-VIS 2019's validation set.

    bench/make_scorer_case.py FOLDER [--videos 302] [--frames 36] [--tracks 543] [--predictions 3020]

Masks are ragged discs of 1280x720 pixels that move; most predictions are a ground truth track moved a
little, with a class and score of their own. The same numbers give the same files.
"""
import argparse
import json
import pathlib

import numpy

HEIGHT, WIDTH, CATEGORIES = 720, 1280, 40


def compress(counts):
    """Run lengths as COCO's compressed string, for an array of counts."""
    values = counts.astype(numpy.int64)
    values[3:] -= counts[1:-2]
    characters = numpy.zeros((len(values), 5), numpy.uint8)  # 25 bits: enough for these sizes
    used = numpy.zeros((len(values), 5), bool)
    open_rows = numpy.ones(len(values), bool)
    for i in range(5):
        group = values & 31
        values = values >> 5
        more = numpy.where(group & 16, values != -1, values != 0)
        characters[:, i] = group + 32 * more + 48
        used[:, i] = open_rows
        open_rows = open_rows & more
    assert not open_rows.any()
    return characters[used].tobytes().decode()


def disc(center_x, center_y, radius, noise):
    """The RLE of a disc whose edge is ragged in every column, and its area."""
    left, right = max(1, int(center_x - radius)), min(WIDTH - 1, int(center_x + radius))
    if right <= left:
        return None, 0
    columns = numpy.arange(left, right)
    half = numpy.sqrt(numpy.maximum(radius**2 - (columns - center_x) ** 2, 1))
    top = numpy.clip(center_y - half + noise[: len(columns)], 1, HEIGHT - 3).astype(int)
    bottom = numpy.clip(center_y + half + noise[-len(columns) :], top + 1, HEIGHT - 1).astype(int)
    starts = columns * HEIGHT + top
    ends = columns * HEIGHT + bottom
    edges = numpy.stack([starts, ends], 1).reshape(-1)
    counts = numpy.diff(numpy.concatenate([[0], edges, [HEIGHT * WIDTH]]))
    return {"size": [HEIGHT, WIDTH], "counts": compress(counts)}, int((bottom - top).sum())


def track(random, frames):
    return {
        "x": random.uniform(200, WIDTH - 200) + random.uniform(-5, 5) * numpy.arange(frames),
        "y": random.uniform(150, HEIGHT - 150) + random.uniform(-3, 3) * numpy.arange(frames),
        "radius": random.uniform(150, 500),
        "seen": random.random(frames) > 0.05,
    }


def masks_of(random, shape, shift):
    rles, areas = [], []
    for x, y, seen in zip(shape["x"], shape["y"], shape["seen"]):
        rle, area = None, 0
        if seen:
            noise = random.normal(0, 3, WIDTH)
            rle, area = disc(x + shift[0], y + shift[1], shape["radius"] * shift[2], noise)
        rles.append(rle)
        areas.append(area if rle else None)
    return rles, areas


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--videos", type=int, default=302)
    arguments.add_argument("--frames", type=int, default=36)
    arguments.add_argument("--tracks", type=int, default=543)
    arguments.add_argument("--predictions", type=int, default=3020)
    options = arguments.parse_args()
    random = numpy.random.default_rng(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    truths = []
    annotations = []
    for i in range(options.tracks):
        shape = track(random, options.frames)
        rles, areas = masks_of(random, shape, (0, 0, 1))
        video, category = i % options.videos + 1, int(random.integers(1, CATEGORIES + 1))
        truths.append((video, category, shape))
        annotations.append({"id": i + 1, "video_id": video, "category_id": category, "iscrowd": 0,
                            "segmentations": rles, "areas": areas,
                            "bboxes": [None] * options.frames})
    videos = [{"id": v + 1, "width": WIDTH, "height": HEIGHT, "length": options.frames,
               "file_names": [f"{v:04}/{t:05}.jpg" for t in range(options.frames)]}
              for v in range(options.videos)]
    categories = [{"id": c + 1, "name": f"class {c + 1}"} for c in range(CATEGORIES)]
    with open(options.folder / "annotations.json", "w") as file:
        json.dump({"videos": videos, "categories": categories, "annotations": annotations}, file)
    with open(options.folder / "results.json", "w") as file:
        for i in range(options.predictions):
            video, category, shape = truths[int(random.integers(len(truths)))]
            if random.random() < 0.2:
                category = int(random.integers(1, CATEGORIES + 1))
            shift = (*random.normal(0, 15, 2), random.uniform(0.8, 1.2))
            rles, _ = masks_of(random, shape, shift)
            entry = {"video_id": video, "category_id": category, "score": float(random.random()),
                     "segmentations": rles}
            file.write("[" if i == 0 else ",")
            json.dump(entry, file)
        file.write("]\n")


if __name__ == "__main__":
    main()
