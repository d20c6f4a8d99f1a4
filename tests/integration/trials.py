"""Runs every input of the shared table of trials through the program and checks what its row says is right.

    trials.py TESSERA TRIALS WORK EXPERIMENTS

TRIALS holds README.md, whose table names the inputs. A row that no check covers is a failure, too.
"""

import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

tessera, trials, work, experiments = (Path(argument).resolve() for argument in sys.argv[1:])
experiment = experiments / "mask2former_vis.toml"
base = trials / "base"
frames = base / "frames"
USAGE, DATA = 2, 4  # exit codes

checks = []  # (names of the row, function)


def check(*names):
    def register(function):
        checks.append((names, function))
        return function

    return register


class Run:
    """A finished command."""

    def __init__(self, *arguments, folder=None):
        done = subprocess.run([str(tessera), *map(str, arguments)], capture_output=True, text=True, cwd=folder)
        self.code, self.out, self.error = done.returncode, done.stdout, done.stderr
        self.command = " ".join(map(str, arguments))

    def expect(self, code, *parts, absent=()):
        text = self.out + self.error
        assert self.code == code, f"expected exit {code}, got {self.code}: {self.command}\n{text}"
        for part in parts:
            assert part in text, f"expected '{part}' in the output of: {self.command}\n{text}"
        for part in absent:
            assert part not in text, f"expected no '{part}' in the output of: {self.command}\n{text}"
        return self


def output_of(name):
    return work / (name.replace("/", "_") + ".json")


def infer(path, *arguments):
    """Inference with random weights, which are the same in each run."""
    names = () if path.suffix.lower() == ".json" else ("--categories", base / "annotations.json")
    return Run("infer", experiment, "--allow-random-weights", "--input", path, "--output", output_of(str(path)),
               *names, *arguments)


def results_of(path):
    return json.loads(output_of(str(path)).read_text())


def convert(kind, path, images, *arguments):
    return Run("data", "convert", "--from", kind, "--input", path, "--images", images, "--output",
               output_of(str(path)), "--overwrite", "--json", *arguments)


def score(truth, results):
    return Run("score", "--ground-truth", truth, "--results", results, "--json")


def average_precision(run):
    return json.loads(run.out)["stats"]["AP"] if run.code == 0 else None


def jpeg_size(file):
    data = file.read_bytes()
    at = 2
    while not 0xC0 <= data[at + 1] <= 0xC2:
        at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
    height, width = struct.unpack(">HH", data[at + 5:at + 9])
    return width, height


def train_on(source, images, kind):
    """A training step on a set of that kind; `ytvis` or `coco`."""
    file = work / "train.toml"
    file.write_text(f'extends = "{experiment}"\n[data]\nnum_frames = 2\n[[data.train.sets]]\nkind = "{kind}"\n'
                    f'annotations = "{source}"\nimages = "{images}"\n')
    Run("config", "check", file).expect(0)
    shutil.rmtree(work / "run", ignore_errors=True)
    return Run("train", file, "--set", "train.iterations=1", "--output", work / "run")


@check("vid/rotate90.mp4")
def rotated():
    # The pixels are compared with ffmpeg's by VideoFileTest.
    for name, size in (("plain", (448, 256)), ("rotate90", (256, 448)), ("rotate180", (448, 256))):
        overlay = work / "overlay"
        shutil.rmtree(overlay, ignore_errors=True)
        infer(trials / "vid" / f"{name}.mp4", "--overlay", overlay).expect(0, "20 frames")
        drawn = sorted((overlay / name).iterdir())
        assert len(drawn) == 20, len(drawn)
        assert jpeg_size(drawn[0]) == size, (name, jpeg_size(drawn[0]))


@check("vid/cut_fast.mp4")
def cut_off():
    file = trials / "vid" / "cut_fast.mp4"
    infer(file).expect(DATA, "20 frames that the container states", "frame 8", "--allow-broken-video")
    infer(file, "--allow-broken-video").expect(0, "9 frames")


@check("upper_json/VALID.JSON")
def upper_case_ending():
    ids = []
    for name in ("VALID.JSON", "valid2.json"):
        infer(trials / "upper_json" / name, "--images", frames).expect(0)
        ids.append([track["category_id"] for track in results_of(trials / "upper_json" / name)])
    assert ids[0] == ids[1] and set(ids[0]) <= {10, 17, 24, 31, 38} and ids[0], ids


@check("category_gaps/ann.json")
def ids_travel_with_the_weights():
    train_on(trials / "category_gaps" / "ann.json", frames, "ytvis").expect(0)
    elsewhere = work / "elsewhere"
    elsewhere.mkdir()
    results = elsewhere / "results.json"
    plain = ("infer", experiment, "--input", trials / "f_plain" / "v", "--output", results)
    Run(*plain, "--weights", work / "run" / "last.safetensors", folder=elsewhere).expect(0)
    ids = {track["category_id"] for track in json.loads(results.read_text())}
    assert ids and ids <= {10, 17, 24, 31, 38}, ids
    Run(*plain, "--allow-random-weights", folder=elsewhere).expect(USAGE, "--categories")


@check("w_html", "w_lfs", "w_gz")
def no_weights():
    for name, file, kind in (("w_html", "w.pth", "HTML page"), ("w_lfs", "w.pth", "Git LFS pointer"),
                             ("w_gz", "w.pth.gz", "gzip")):
        Run("weights", "inspect", trials / name / file).expect(DATA, file, kind)


@check("f_dangling/v")
def dangling_link():
    infer(trials / "f_dangling" / "v").expect(DATA, "00003.jpg", "link")
    copy = work / "dangling"
    shutil.copytree(trials / "f_dangling" / "v", copy)
    copy.chmod(0o755)
    (copy / "00003.jpg").unlink()
    (copy / "00003.jpg").symlink_to("missing.jpg")
    infer(copy).expect(DATA, "00003.jpg", "missing.jpg", "link")


@check("f_mixed_level")
def mixed_level():
    infer(trials / "f_mixed_level").expect(DATA, "cover.jpg", "both", "v")


@check("f_nested")
def nested():
    overlay = work / "nested"
    infer(trials / "f_nested", "--overlay", overlay).expect(0, "a: 6 frames", "b: 6 frames")
    assert sorted(path.name for path in overlay.iterdir()) == ["a", "b"]


@check("f_png12in16/v")
def deep_images():
    folder = trials / "f_png12in16" / "v"
    infer(folder).expect(0, "warning:", "nearly black", "white_level")
    dark = results_of(folder)
    infer(folder, "--set", "data.white_level=4095").expect(0, absent=["warning:"])
    assert results_of(folder) != dark, "the option changes nothing"


@check("f_stray_bytes/v")
def stray_bytes():
    infer(trials / "f_stray_bytes" / "v").expect(0, "6 frames")


@check("exif_ann", "f_exif6")
def orientation():
    arguments = (trials / "exif_ann" / "ann.json", "--images", trials / "f_exif6")
    infer(*arguments).expect(DATA, "EXIF orientation 6", "64x48", "turn_by_exif")
    infer(*arguments, "--set", "data.turn_by_exif=true").expect(0, absent=["warning:"])
    infer(trials / "f_exif6" / "v").expect(0, "warning:", "EXIF orientation 6")
    annotations = trials / "exif_ann" / "ann.json"
    Run("data", "check", annotations, "--images", trials / "f_exif6").expect(DATA, "EXIF orientation 6")
    Run("data", "check", annotations, "--images", trials / "f_exif6", "--turn-by-exif").expect(0)


@check("m_smooth")
def smoothed_masks():
    arguments = ("davis", trials / "m_smooth" / "Annotations", trials / "m_smooth" / "JPEGImages")
    convert(*arguments).expect(DATA, "thin regions", "00000.png", "--allow-thin-labels")


@check("coco_boxes_only")
def boxes_only():
    for options in ((), ("--skip-unusable",)):
        convert("coco", trials / "coco_boxes_only" / "ann.json", frames, *options).expect(
            DATA, "19 of 19 annotations", "No mask is left")


@check("coco_one_box", "coco_parts")
def one_box_and_parts():
    box = trials / "coco_one_box" / "ann.json"
    convert("coco", box, frames).expect(DATA, "1 of 20 annotations", "--skip-unusable")
    report = json.loads(convert("coco", box, frames, "--skip-unusable").expect(0).out)
    assert report["counts"] == {"annotations without a mask, left out": 1}, report
    parts = trials / "coco_parts" / "ann.json"
    report = json.loads(convert("coco", parts, frames, "--skip-unusable").expect(0).out)
    assert report["counts"]["parts joined with another mask of their object"] == 1, report
    assert report["objects"] == 4, report


@check("cvat_coco")
def cvat():
    source = trials / "cvat_coco" / "ann.json"
    report = json.loads(convert("coco", source, frames).expect(0).out)
    tracks = {entry["attributes"]["track_id"] for entry in json.loads(source.read_text())["annotations"]}
    assert report["objects"] == len(tracks), report
    document = json.loads(source.read_text())
    document["annotations"][0]["attributes"]["outside"] = True
    outside = work / "outside.json"
    outside.write_text(json.dumps(document))
    report = json.loads(convert("coco", outside, frames).expect(0).out)
    assert report["counts"] == {"annotations outside the frame, left out": 1}, report


@check("l_suffix", "l_suffix_img")
def numbered_labels():
    arguments = ("labelme", trials / "l_suffix", trials / "l_suffix_img")
    convert(*arguments).expect(DATA, "--label-numbers")
    report = json.loads(convert(*arguments, "--label-numbers", "object").expect(0).out)
    assert report["objects"] == 3, report
    assert [category["name"] for category in report["categories"]] == ["car", "person"], report
    report = json.loads(convert(*arguments, "--label-numbers", "category").expect(0).out)
    assert len(report["categories"]) == 3, report
    convert(*arguments, "--label-numbers", "both").expect(USAGE, "object or category")


@check("l_aimask", "l_point")
def other_shapes():
    report = json.loads(convert("labelme", trials / "l_aimask", trials / "l_aimask_img").expect(0).out)
    assert report["objects"] == 2, report
    drawn = json.loads(output_of(str(trials / "l_aimask")).read_text())["annotations"][1]
    left, top, width, height = drawn["bboxes"][0]
    assert left >= 30 and top >= 20 and left + width <= 42 and top + height <= 30, drawn["bboxes"]
    arguments = ("labelme", trials / "l_point", trials / "l_point_img")
    convert(*arguments).expect(DATA, "'point'", "--skip-unusable")
    report = json.loads(convert(*arguments, "--skip-unusable").expect(0).out)
    assert report["counts"] == {"shapes of type 'point', left out": 1}, report


@check("coco_bom")
def byte_order_mark():
    train_on(trials / "coco_bom" / "ann.json", frames, "coco").expect(
        0, "1 of 20 annotations are boxes without a mask")


@check("backslash", "annotations_null", "iscrowd_missing", "areas_missing", "float_ids")
def odd_annotations():
    truth = average_precision(score(base / "annotations.json", trials / "res_zip" / "results.zip").expect(0))
    for name in ("backslash", "annotations_null", "iscrowd_missing", "areas_missing", "float_ids"):
        file = trials / name / "ann.json"
        Run("data", "check", file, "--images", frames).expect(0, "0 faults")
        infer(file, "--images", frames).expect(0, "4 videos")
        scored = score(file, trials / "res_zip" / "results.zip")
        if name == "annotations_null":
            scored.expect(DATA, "no public annotations", "inference only")
            Run("data", "check", file).expect(0, "inference only")
        else:
            assert average_precision(scored.expect(0)) == truth, name
            train_on(file, frames, "ytvis").expect(0)


@check("cocovid")
def coco_video():
    file = trials / "cocovid" / "ann.json"
    Run("data", "check", file).expect(DATA, "data convert --from coco")
    train_on(file, frames, "ytvis").expect(DATA, "data convert --from coco")
    report = json.loads(convert("coco", file, frames).expect(0).out)
    annotations = json.loads((base / "annotations.json").read_text())["annotations"]
    assert report["objects"] == len(annotations), report


@check("res_polygons", "res_zip")
def results_of_other_tools():
    score(base / "annotations.json", trials / "res_polygons" / "res.json").expect(0, '"AP"')
    packed = score(base / "annotations.json", trials / "res_zip" / "results.zip").expect(0)
    assert average_precision(packed) == 1, packed.out


def names_in_table():
    """The inputs that the first column of the table names, row by row."""
    for line in (trials / "README.md").read_text().splitlines():
        cells = line.split("|")
        if len(cells) > 3 and "`" in cells[1]:
            yield re.findall(r"`([^`]+)`", cells[1])


def main():
    failed = []
    covered = {name for names, _ in checks for name in names}
    for row in names_in_table():
        missing = [name for name in row if name not in covered]
        if missing:
            failed.append(f"no check covers {', '.join(missing)}")
    for names, function in checks:
        try:
            function()
            print("right:", ", ".join(names))
        except (AssertionError, KeyError, IndexError, OSError) as error:
            failed.append(f"{', '.join(names)}: {error!r}" if not str(error) else f"{', '.join(names)}: {error}")
    for text in failed:
        print("WRONG:", text, file=sys.stderr)
    return 1 if failed else 0


sys.exit(main())
