#!/usr/bin/env python3
"""Tracking figures of an independent package for generated cases.

    tracking_cases.py write FILE                         the stored cases of tracking_reference_test.cpp
    tracking_cases.py check TESSERA [--seeds 100:130]    fresh cases: the program against the package

Needs `pip install trackeval==1.3.0 motmetrics==1.4.0`. HOTA, DetA, AssA, IDF1 and identity switches are
TrackEval's, summed over videos and per category; IDF1's counts are motmetrics', too. How results become
tracks (threshold, one label, overlaps, crowds) is written here once more, pixel by pixel.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy
    import trackeval
    import motmetrics
except ImportError as error:
    print(f"skipped: {error}; pip install trackeval==1.3.0 motmetrics==1.4.0", file=sys.stderr)
    sys.exit(77)

HEIGHT, WIDTH, CATEGORIES = 24, 32, [2, 5, 9]
THRESHOLD = 0.3
NAMES = ["HOTA", "DetA", "AssA", "IDF1", "switches", "matched_frames"]


def rle(mask):
    """COCO's compressed run lengths of a mask [height, width]; None for no mask."""
    if mask is None:
        return None
    pixels = numpy.concatenate([[0], mask.T.reshape(-1).astype(int), [2]])
    ends = numpy.flatnonzero(pixels[1:] != pixels[:-1])
    counts = numpy.diff(numpy.concatenate([[0], ends])).tolist()
    if mask.T.reshape(-1)[0]:
        counts = [0] + counts[1:] if counts[0] == 0 else [0] + counts
    text = ""
    for i, count in enumerate(counts):
        rest = count - (counts[i - 2] if i > 2 else 0)
        while True:
            bits = rest & 31
            rest >>= 5
            last = rest == (-1 if bits & 16 else 0)
            text += chr(48 + bits + (0 if last else 32))
            if last:
                break
    return {"size": [HEIGHT, WIDTH], "counts": text}


def shape(x, y, width, height):
    rows, columns = numpy.mgrid[:HEIGHT, :WIDTH]
    mask = (abs(columns - x) <= width / 2) & (abs(rows - y) <= height / 2)
    return mask if mask.any() else None


def generate(seed):
    """Ground truth and results with everything that goes wrong in tracking."""
    random = numpy.random.default_rng(seed)
    videos, annotations, results, arrays = [], [], [], {}
    for video in range(1, 4):
        frames = int(random.integers(4, 12))
        videos.append({"id": video, "width": WIDTH, "height": HEIGHT, "length": frames,
                       "file_names": [f"{video}/{t}.jpg" for t in range(frames)]})
        truths, predictions = [], []
        for _ in range(int(random.integers(1, 5))):
            start, speed = random.uniform(4, [28, 20]), random.uniform(-1.5, 1.5, 2)
            size = random.uniform(4, 13, 2)
            category = int(random.choice(CATEGORIES[:2]))
            crowd = bool(random.random() < 0.12)
            boxes = [(*(start + speed * t), *size) for t in range(frames)]
            masks = [shape(*box) if random.random() > 0.2 else None for box in boxes]
            truths.append((category, crowd, masks))
            for _ in range(int(random.integers(0, 4))):
                noise = random.choice([0.2, 0.6, 1.5])
                moved = [None if random.random() < 0.1 else shape(*(numpy.array(box) + random.normal(0, noise, 4)))
                         for box in boxes]
                predictions.append([category if random.random() > 0.2 else int(random.choice(CATEGORIES)),
                                    round(float(random.uniform(0.15, 1)), 3), moved])
        for a in predictions:  # identities that change in the middle
            if len(predictions) > 1 and random.random() < 0.4:
                b = predictions[int(random.integers(len(predictions)))]
                at = int(random.integers(frames))
                a[2], b[2] = a[2][:at] + b[2][at:], b[2][:at] + a[2][at:]
        for a in list(predictions):  # several labels of one track
            if random.random() < 0.3:
                predictions.append([int(random.choice(CATEGORIES)), round(float(random.uniform(0.15, 1)), 3), a[2]])
        for category, crowd, masks in truths:
            areas = [None if m is None else int(m.sum()) for m in masks]
            annotations.append({"id": len(annotations) + 1, "video_id": video, "category_id": category,
                                "iscrowd": int(crowd), "areas": areas, "bboxes": None,
                                "segmentations": [rle(m) for m in masks]})
        for category, score, masks in predictions:
            results.append({"video_id": video, "category_id": category, "score": score,
                            "segmentations": [rle(m) for m in masks]})
        arrays[video] = (frames, truths, predictions)
    truth = {"videos": videos, "annotations": annotations,
             "categories": [{"id": c, "name": f"c{c}"} for c in CATEGORIES]}
    return truth, results, arrays


def frame_mask(masks, t):
    return numpy.zeros((HEIGHT, WIDTH), bool) if masks[t] is None else masks[t]


def hard_tracks(frames, predictions):
    """(category, [frames, height, width]) of what is sure, each pixel in one track."""
    # Equal scores: lower category, then order.
    order = sorted(range(len(predictions)), key=lambda i: (-predictions[i][1], predictions[i][0], i))
    chosen = []
    for i in order:
        category, score, masks = predictions[i]
        volume = numpy.stack([frame_mask(masks, t) for t in range(frames)])
        if score >= THRESHOLD and volume.any() and not any((volume == c[2]).all() for c in chosen):
            chosen.append((category, score, volume))
    free = numpy.ones((frames, HEIGHT, WIDTH), bool)
    tracks = []
    for category, _, volume in chosen:
        tracks.append((category, volume & free))
        free &= ~volume
    return tracks


def sequence(frames, truths, tracks, category):
    """What TrackEval takes for a video and category."""
    scored = [numpy.stack([frame_mask(m, t) for t in range(frames)])
              for c, crowd, m in truths if c == category and not crowd]
    crowds = [numpy.stack([frame_mask(m, t) for t in range(frames)])
              for c, crowd, m in truths if c == category and crowd]
    found = [volume for c, volume in tracks if c == category]
    data = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    for t in range(frames):
        ids = [i for i, v in enumerate(scored) if v[t].any()]
        kept = []
        for j, volume in enumerate(found):
            mask = volume[t]
            if not mask.any():
                continue
            on_track = any((mask & scored[i][t]).sum() >= 0.5 * (mask | scored[i][t]).sum() for i in ids)
            in_crowd = crowds and (mask & numpy.any([c[t] for c in crowds], 0)).sum() * 2 > mask.sum()
            if on_track or not in_crowd:
                kept.append(j)
        ious = [[(scored[i][t] & found[j][t]).sum() / (scored[i][t] | found[j][t]).sum() for j in kept] for i in ids]
        data["gt_ids"].append(numpy.array(ids, int))
        data["tracker_ids"].append(numpy.array(kept, int))
        data["similarity_scores"].append(numpy.array(ious, float).reshape(len(ids), len(kept)))
    data.update(num_timesteps=frames, num_gt_ids=len(scored), num_tracker_ids=len(found),
                num_gt_dets=sum(map(len, data["gt_ids"])), num_tracker_dets=sum(map(len, data["tracker_ids"])))
    return data


def motmetrics_identity(data):
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for ids, tracks, ious in zip(data["gt_ids"], data["tracker_ids"], data["similarity_scores"]):
        accumulator.update(ids.tolist(), tracks.tolist(), numpy.where(ious >= 0.5, 1 - ious, numpy.nan))
    row = motmetrics.metrics.create().compute(accumulator, metrics=["idtp", "idfp", "idfn"])
    return row.iloc[0].to_numpy()


def figures(arrays):
    """{category id: {name: value}} for categories with ground truth."""
    quiet = {"PRINT_CONFIG": False}
    metrics = [trackeval.metrics.HOTA(), trackeval.metrics.Identity(quiet), trackeval.metrics.CLEAR(quiet)]
    tracks = {video: hard_tracks(a[0], a[2]) for video, a in arrays.items()}
    result = {}
    for category in CATEGORIES:
        data = {v: sequence(a[0], a[1], tracks[v], category) for v, a in arrays.items()}
        if not sum(d["num_gt_dets"] for d in data.values()):
            continue
        hota, identity, clear = ({v: m.eval_sequence(d) for v, d in data.items()} for m in metrics)
        for video, d in data.items():
            if d["num_gt_dets"] and d["num_tracker_dets"]:
                ours = [identity[video][k] for k in ("IDTP", "IDFP", "IDFN")]
                assert (motmetrics_identity(d) == ours).all(), "TrackEval and motmetrics disagree"
        hota, identity, clear = (m.combine_sequences(r) for m, r in zip(metrics, (hota, identity, clear)))
        values = [hota["HOTA"].mean(), hota["DetA"].mean(), hota["AssA"].mean(), identity["IDF1"],
                  clear["IDSW"], clear["CLR_TP"]]
        result[str(category)] = dict(zip(NAMES, map(float, values)))
    return result


def write(file):
    cases = []
    for seed in range(8):
        truth, results, arrays = generate(seed)
        cases.append({"ground_truth": truth, "results": results, "expected": figures(arrays)})
    document = {"made_by": "tracking_cases.py with trackeval 1.3.0 and motmetrics 1.4.0",
                "score_threshold": THRESHOLD, "cases": cases}
    pathlib.Path(file).write_text(json.dumps(document, separators=(",", ":")).replace('{"ground_truth"', '\n{"ground_truth"') + "\n")


def check(tessera, seeds):
    largest = 0.0
    for seed in seeds:
        truth, results, arrays = generate(seed)
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("gt.json", "results.json")]
            for path, content in zip(paths, (truth, results)):
                pathlib.Path(path).write_text(json.dumps(content))
            output = subprocess.run(
                [tessera, "score", "--ground-truth", paths[0], "--results", paths[1], "--json", "--diagnose",
                 "--score-threshold", str(THRESHOLD)], check=True, capture_output=True, text=True).stdout
        got = {str(c["category_id"]): {**c["tracking"], **c["identity"]}
               for c in json.loads(output)["diagnostics"]["per_category"]}
        for category, expected in figures(arrays).items():
            for name, value in expected.items():
                difference = abs(got[category][name] - value)
                largest = max(largest, difference)
                if difference > 1e-9:
                    sys.exit(f"seed {seed}, category {category}, {name}: expected {value}, got {got[category][name]}")
    print(f"{len(seeds)} cases, largest difference {largest:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("write").add_argument("file")
    checker = commands.add_parser("check")
    checker.add_argument("tessera")
    checker.add_argument("--seeds", default="100:130")
    arguments = parser.parse_args()
    if arguments.command == "write":
        write(arguments.file)
    else:
        first, end = map(int, arguments.seeds.split(":"))
        check(arguments.tessera, range(first, end))


if __name__ == "__main__":
    main()
