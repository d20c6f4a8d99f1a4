#!/usr/bin/env python3
"""Makes ground truth that a model's results partly meet: every second result of a video, without every third frame.

    truth_of_results.py ANNOTATIONS RESULTS OUTPUT

So untrained weights get an average precision that is neither 0 nor 1, and depends on every video's masks, scores
and order.
"""
import json
import sys
from collections import defaultdict


def main(annotations, results, output):
    """Writes OUTPUT: ANNOTATIONS' videos and categories with other instances."""
    with open(annotations, encoding="utf-8") as file:
        truth = json.load(file)
    with open(results, encoding="utf-8") as file:
        found = json.load(file)
    of_video = defaultdict(list)
    for result in sorted(found, key=lambda r: -r["score"]):
        of_video[result["video_id"]].append(result)
    truth["annotations"] = []
    for video_id, items in sorted(of_video.items()):
        for item in items[::2]:
            masks = [None if i % 3 == 2 else mask for i, mask in enumerate(item["segmentations"])]
            truth["annotations"].append({
                "id": len(truth["annotations"]) + 1, "video_id": video_id, "category_id": item["category_id"],
                "iscrowd": 0, "segmentations": masks,
                "areas": [None if mask is None else mask["size"][0] * mask["size"][1] / 4 for mask in masks],
                "bboxes": [None if mask is None else [0, 0, mask["size"][1], mask["size"][0]] for mask in masks]})
    with open(output, "w", encoding="utf-8") as file:
        json.dump(truth, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
