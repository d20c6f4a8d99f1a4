"""Runs the lines of docs/weights.md, each on a stand-in of its official file.

    official_lines.py ROOT TESSERA WORK [--all] [--parity FOLDER]

Each line is run as it stands; the process is ended once it has printed what became of the weights.
With --all also the line of every shipped experiment that states the file it starts from. With --parity
names and shapes of the stand-ins are compared with those stored from the authors' code.
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tomllib

import official_weights

# Parts of a model that a line may leave fresh if its file holds a whole model.
PARTS_OF_WHOLE = re.compile(r"(^|\.)(class_embed|query_embed)\.|^(bbox_attention|mask_head|insmask_head)\."
                            r"|\.self_attn_1\.|\.(temporal_attn|norm_temporal)\b")


def documented_lines(root):
    text = (root / "docs/weights.md").read_text()
    section = text[text.index("## Official files"):]
    section = section[:section.index("\n## ", 1)]
    lines = re.findall(r"^\|.*\| `(tessera [^`]*)` \|$", section, re.MULTILINE)
    assert len(lines) > 30, lines
    return lines


def argument(line, name):
    words = shlex.split(line)
    return words[words.index(name) + 1] if name in words else None


def starts_from(file):
    """weights.starts_from of an experiment, which a file that it extends may state."""
    content = tomllib.loads(file.read_text())
    found = content.get("weights", {}).get("starts_from")
    if found is not None:
        return found
    extended = content.get("extends", [])
    for other in reversed([extended] if isinstance(extended, str) else extended):
        found = starts_from(file.parent / other)
        if found:
            return found
    return ""


def weights_line(line, work, tessera):
    """What the line prints of its weights."""
    environment = os.environ | {"PATH": f"{pathlib.Path(tessera).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(shlex.split(line), cwd=work, env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    printed = []
    try:
        for text in process.stdout:
            printed.append(text)
            if text.startswith("weights: "):
                return text
    finally:
        process.kill()
        process.wait()
    sys.exit(f"FAIL: {line}\n{''.join(printed)}")


def check(line, work, tessera):
    report = weights_line(line, work, tessera)
    loaded = re.search(r": loaded (\d+) tensors", report)
    fresh = re.search(r"; freshly initialised on purpose: ([^;\n]*)", report)
    names = fresh.group(1).split(", ") if fresh else []
    if " infer " in line:
        wrong = names
    elif re.search(r"(resnet\d+-\w+|R-\d+|swin_\w+)\.(pth|pkl)", line):  # a backbone
        wrong = [name for name in names if re.match(r"backbone\.(?!norm\d\.)", name)]
    else:
        wrong = [name for name in names if not PARTS_OF_WHOLE.search(name)]
    if not loaded or int(loaded.group(1)) < 100 or wrong:
        sys.exit(f"FAIL: {line}\n{report}\nleft fresh: {wrong[:5]}")
    print(f"{loaded.group(1)} tensors, {len(names)} fresh: {line}", flush=True)


def compare(folder):
    make = official_weights
    pairs = [
        (make.mask2former("r50", 40, 100), "mask2former_vis/r50_forward"),
        (make.seqformer("r50", 42, layers=3, mssts=True), "mssts/r50_infer"),
        (make.swin("large", 12, level_norms=True), "mssts/swin_l_p4w12_backbone"),
        (make.ifc(50, 40), "ifc/r50_forward"),
        (make.vistr(50), "vistr/r50_paper_size"),
    ]
    for ours, case in pairs:
        theirs = json.loads((folder / case / "keys.json").read_text())
        left_out = re.compile(r"^criterion\.|relative_position_index$")
        ours = {name: list(shape) for name, shape in ours.items() if not left_out.search(name)}
        of_test_size = re.compile(r"query_(embed|feat)\.weight$")  # the cases have fewer queries
        assert ours.keys() == theirs.keys(), (case, sorted(ours.keys() ^ theirs.keys())[:5])
        wrong = [n for n in ours if ours[n] != theirs[n] and not of_test_size.search(n)]
        assert not wrong, (case, [(n, ours[n], theirs[n]) for n in wrong[:5]])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("tessera")
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--parity", type=pathlib.Path)
    arguments = parser.parse_args()
    root, work = arguments.root.resolve(), arguments.work.resolve()
    tessera = str(pathlib.Path(arguments.tessera).resolve())
    if arguments.parity and arguments.parity.is_dir():
        compare(arguments.parity)
    lines = documented_lines(root)
    files = {argument(line, "--weights") for line in lines}
    unknown = files - official_weights.FILES.keys()
    assert not unknown, f"files without a stand-in: {unknown}"
    (work / "experiments").symlink_to(root / "experiments")
    for experiment in sorted(root.glob("experiments/*.toml")):
        name = f"experiments/{experiment.name}"
        file = starts_from(experiment)
        if not file:
            continue
        if file not in files:
            sys.exit(f"FAIL: {name} starts from {file}, which docs/weights.md does not list")
        line = f"tessera train {name} --weights {file}"
        if arguments.all and line not in lines:
            lines.append(line)
    lines.sort(key=lambda line: argument(line, "--weights"))
    os.chdir(work)
    present = None
    for line in lines:
        file = argument(line, "--weights")
        if file != present:
            if present:
                os.unlink(present)
            official_weights.write(file)
            present = file
        check(line, work, tessera)
    print(f"{len(lines)} lines")


if __name__ == "__main__":
    main()
