#!/usr/bin/env python3
"""shuffle_labels.py ANNOTATIONS OUTPUT SEED [--categories]: a training set whose labels say nothing of its videos.

Every video gets the annotations of another one of the same size and length (--categories: keeps its
own masks, and the categories are dealt out anew). What a model learns from it is how instances
usually look and move; what it scores above that, it learnt from the frames.
"""
import json
import random
import sys
from collections import defaultdict


def shuffled(data, seed, categories):
    draw = random.Random(seed)
    if categories:
        labels = [a["category_id"] for a in data["annotations"]]
        draw.shuffle(labels)
        for annotation, label in zip(data["annotations"], labels):
            annotation["category_id"] = label
        return data
    alike = defaultdict(list)
    for video in data["videos"]:
        alike[video["height"], video["width"], len(video["file_names"])].append(video["id"])
    target = {}
    for (height, width, frames), videos in alike.items():
        if len(videos) < 2:
            sys.exit(f"expected two videos of {width}x{height} and {frames} frames, got one")
        draw.shuffle(videos)
        target.update(zip(videos, videos[1:] + videos[:1]))  # nobody keeps its own
    for annotation in data["annotations"]:
        annotation["video_id"] = target[annotation["video_id"]]
    return data


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if a != "--categories"]
    if len(arguments) != 3:
        sys.exit(__doc__)
    source, output, seed = arguments
    with open(source) as file:
        annotations = json.load(file)
    with open(output, "w") as file:
        json.dump(shuffled(annotations, int(seed), "--categories" in sys.argv), file)
