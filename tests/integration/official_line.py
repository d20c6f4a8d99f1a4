"""Walks the whole line of published experiments, from an official weight file to a score.

    official_line.py ROOT TESSERA MINIVIS WORK [--published] [SYSTEM...]

For each system: a stand-in of the official file, `config check --deep`, the line of docs/weights.md on
real videos that are cut into several windows, then `score`. A line that trains is followed by one
iteration and by inference with what was trained. Checked are the results: their videos, frames, sizes
and category ids, tracks that go on over all windows, a score of 100 against themselves, and that tracks
break if nothing links the windows.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import re
import shlex
import struct
import subprocess
import sys
import zipfile

import official_lines
import official_weights

LONG, SHORT = ("schoolgirls", "tennis"), ("car-shadow_tail", "schoolgirls_tail")
OVIS = {1: 1, 6: 25}  # person and sedan of YouTube-VIS 2019 as categories of OVIS
MASKS_ALIKE = ("inference.linker.minimum_iou=1.0",)


@dataclasses.dataclass
class System:
    line: str                   # as docs/weights.md has it
    window: int                 # frames of a window, and how many it shares with the next one
    overlap: int
    settings: tuple = ()        # what makes these windows
    videos: tuple = SHORT
    unlinked: tuple = MASKS_ALIKE  # settings under which no track of a window continues another
    categories: dict | None = None  # ids of the data's categories in the experiment's data set


def windows(window, overlap):
    return f"inference.window={window}", f"inference.overlap={overlap}"


INFER = "tessera infer experiments/{} --weights {} --input clip.mp4 --output results.json"
TRAIN = "tessera train experiments/{} --weights {}"
SYSTEMS = {
    "vistr": System(INFER.format("vistr_r50.toml", "vistr_r50.pth"), 36, 4, videos=LONG),
    "deformable_vistr": System(TRAIN.format("deformable_vistr_r50.toml", "resnet50-0676ba61.pth"), 36, 4,
                               videos=LONG),
    "simvtr": System(TRAIN.format("simvtr_swin_t_ovis.toml", "swin_tiny_patch4_window7_224.pth"), 16, 4,
                     videos=("schoolgirls_tail", "tennis"), categories=OVIS),
    "seqformer": System(INFER.format("seqformer_r50_ytvis2019.toml", "seqformer_r50.pth"), 5, 2, windows(5, 2)),
    "mssts": System(TRAIN.format("mssts_r50_ytvis2019.toml", "r50_weight.pth"), 5, 2, windows(5, 2)),
    "mask2former_vis": System(INFER.format("mask2former_vis_r50_ytvis2019.toml", "model_final_34112b.pkl"), 6, 2,
                              windows(6, 2)),
    "minvis": System(INFER.format("minvis_r50_ytvis2019.toml", "minvis_ytvis19_R50.pth"), 1, 0,
                     unlinked=("inference.linker.minimum_similarity=1.0",)),
    "ifc": System(INFER.format("ifc_r50_ytvis2019.toml", "ifc_r50.pth"), 6, 5, windows(6, 5)),
}


def run(command, code=0):
    done = subprocess.run(command, text=True, capture_output=True)
    if done.returncode != code:
        sys.exit(f"FAIL: exit {done.returncode}: {shlex.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def settings(values):
    return [word for value in values for word in ("--set", value)]


def write_annotations(minivis, names, categories, file):
    """The videos of these names out of both parts of minivis, with ids of their own."""
    result = None
    for part in ("train", "valid"):
        content = json.loads((minivis / f"annotations/{part}.json").read_text())
        if result is None:
            result = content | {"videos": [], "annotations": []}
        for video in content["videos"]:
            if pathlib.Path(video["file_names"][0]).parent.name not in names:
                continue
            new_id = 101 + len(result["videos"])
            result["videos"].append(video | {"id": new_id})
            for track in content["annotations"]:
                if track["video_id"] == video["id"]:
                    track = track | {"id": 1 + len(result["annotations"]), "video_id": new_id}
                    if categories:
                        track["category_id"] = categories[track["category_id"]]
                    result["annotations"].append(track)
    assert len(result["videos"]) == len(names)
    file.write_text(json.dumps(result))
    return result


def own_frames(length, window, overlap):
    """For each window of a video the frames that no earlier window has."""
    starts = list(range(0, max(1, length - window + 1), window - overlap))
    if starts[-1] + window < length:
        starts.append(length - window)
    assert len(starts) > 1, "one window only"
    ends = [start + window for start in starts]
    return [range(max(start, end), start + window) for start, end in zip(starts, [0] + ends)]


def windows_of(track, frames):
    return sum(any(track["segmentations"][i] is not None for i in own) for own in frames)


def check_results(truth, results, system, ids):
    """Prints a line for each video; fails if a track is wrong."""
    for video in truth["videos"]:
        frames = own_frames(video["length"], system.window, system.overlap)
        tracks = [track for track in results if track["video_id"] == video["id"]]
        assert tracks, f"no track in video {video['id']}"
        for track in tracks:
            assert len(track["segmentations"]) == video["length"], "a mask or null for every frame"
            assert 0 < track["score"] <= 1, track["score"]
            for mask in track["segmentations"]:
                assert mask is None or mask["size"] == [video["height"], video["width"]], mask["size"]
        found = {track["category_id"] for track in tracks}
        assert found <= ids, f"categories {sorted(found)}, which the weights do not have"
        spans = [windows_of(track, frames) for track in tracks]
        print(f"  {video['length']} frames of {video['width']}x{video['height']}, {len(frames)} windows: "
              f"{len(tracks)} tracks, of {min(spans)} to {max(spans)} windows, categories {sorted(found)}",
              flush=True)
        assert max(spans) == len(frames), "a track goes on over all windows"
    videos = {video["id"] for video in truth["videos"]}
    assert {track["video_id"] for track in results} == videos


def check_unlinked(truth, results, system):
    for video in truth["videos"]:
        frames = own_frames(video["length"], system.window, system.overlap)
        spans = [windows_of(track, frames) for track in results if track["video_id"] == video["id"]]
        assert spans and min(spans) == 1, f"without links every track has {min(spans)} windows or more"


def picture_size(file):
    """Width and height that a JPEG's header states."""
    data, at = file.read_bytes(), 2
    while data[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
    height, width = struct.unpack(">HH", data[at + 5:at + 9])
    return width, height


def check_pictures(truth, minivis, folder):
    for video in truth["videos"]:
        pictures = sorted((folder / pathlib.Path(video["file_names"][0]).parent).iterdir())
        assert len(pictures) == video["length"], (len(pictures), video["length"])
        for picture, name in zip(pictures, video["file_names"]):
            assert picture_size(picture) == (video["width"], video["height"]), picture
            assert picture.read_bytes() != (minivis / "JPEGImages" / name).read_bytes(), picture


def as_ground_truth(truth, results):
    """The tracks as objects of their videos."""
    tracks = [{"id": 1 + i, "video_id": track["video_id"], "category_id": track["category_id"], "iscrowd": 0,
               "segmentations": track["segmentations"]} for i, track in enumerate(results)]
    return truth | {"annotations": tracks}


def average_precision(tessera, truth, results):
    return json.loads(run([tessera, "score", "--ground-truth", truth, "--results", results, "--json"]))["stats"]["AP"]


def weights_categories(file):
    with open(file, "rb") as stream:
        header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
    return header["__metadata__"]["categories"]


def walk(name, system, tessera, minivis, published):
    print(f"{name}: {system.line}", flush=True)
    words = shlex.split(system.line)
    experiment, weights = words[2], words[words.index("--weights") + 1]
    official_weights.write(weights, drawn=True)
    truth = write_annotations(minivis, system.videos, system.categories, pathlib.Path("truth.json"))
    images = str(minivis / "JPEGImages")
    if system.categories:
        resolved = run([tessera, "config", "show", experiment])
        listed = re.findall(r'\{ id = (\d+), name = "([^"]*)" \}', resolved)
        truth["categories"] = [{"id": int(number), "name": label} for number, label in listed]
        pathlib.Path("truth.json").write_text(json.dumps(truth))
    data = settings(f"data.{part}.{key}" for part in ("train", "validation")
                    for key in ("sets=[]", "annotations=truth.json", f"images={images}"))
    sizes = settings(() if published else ("inference.short_side=96",)) + settings(system.settings)

    checked = run([tessera, "config", "check", "--deep", experiment, *data, *sizes, "--weights", weights])
    assert " 0 problems" in checked, checked
    ids = set(official_weights.LIKELY_CATEGORIES)
    if words[1] == "train":
        small = settings(("train.total_batch=1", "data.augment.steps=[]"))
        run([tessera, *words[1:], *data, *small, *settings(() if published else ("data.augment.short_side=96",)),
             "--iterations", "1", "--output", f"run_{name}"])
        weights = f"run_{name}/last.safetensors"
        ids = {category["id"] for category in truth["categories"]}
        of_weights = re.findall(r'"id":\s*(\d+)', weights_categories(weights))
        assert {int(i) for i in of_weights} == ids, of_weights

    infer = [tessera, "infer", experiment, "--weights", weights, "--input", "truth.json", "--images", images]
    said = run([*infer, *sizes, "--output", "results.json", "--zip", "--overlay", f"overlay_{name}",
                "--overlay-threshold", "0"])
    results = json.loads(pathlib.Path("results.json").read_text())
    expected = f"results: results.json ({len(truth['videos'])} videos, {len(results)} tracks)"
    assert expected in said, said
    check_results(truth, results, system, ids)
    check_pictures(truth, minivis, pathlib.Path(f"overlay_{name}"))
    with zipfile.ZipFile("results.zip") as archive:
        assert archive.namelist() == ["results.json"]
        assert archive.read("results.json") == pathlib.Path("results.json").read_bytes()

    real = average_precision(tessera, "truth.json", "results.json")
    assert 0 <= real <= 1 and real == average_precision(tessera, "truth.json", "results.zip"), real
    pathlib.Path("own.json").write_text(json.dumps(as_ground_truth(truth, results)))
    own = average_precision(tessera, "own.json", "results.json")
    print(f"  AP {100 * real:.2f} against the annotations, {100 * own:.2f} against itself", flush=True)
    assert own > 0.9999, own

    if not published:
        run([*infer, *sizes, *settings(system.unlinked), "--output", "unlinked.json"])
        check_unlinked(truth, json.loads(pathlib.Path("unlinked.json").read_text()), system)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("tessera", type=pathlib.Path)
    parser.add_argument("minivis", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--published", action="store_true")
    parser.add_argument("systems", nargs="*", default=list(SYSTEMS))
    arguments = parser.parse_intermixed_args()
    tessera, minivis = str(arguments.tessera.resolve()), arguments.minivis.resolve()
    lines = official_lines.documented_lines(arguments.root)
    os.chdir(arguments.work)
    pathlib.Path("experiments").symlink_to(arguments.root.resolve() / "experiments")
    for name in arguments.systems:
        assert SYSTEMS[name].line in lines, f"docs/weights.md has no line '{SYSTEMS[name].line}'"
        walk(name, SYSTEMS[name], tessera, minivis, arguments.published)
    print(f"{len(arguments.systems)} systems")


if __name__ == "__main__":
    main()
