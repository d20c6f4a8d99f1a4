#!/usr/bin/env python3
"""Every command in the documents is known, right, and run by something, or says what it needs.

    docs_commands.py TESSERA ROOT FOLDER

Commands are the lines of code blocks that begin with a program of this project (or mpirun, srun,
cmake, ctest), and code spans that begin with `tessera `. For each of them the subcommand and every
--option must be in that subcommand's --help, experiments must exist, and experiment and --set must
pass `config check`. Each command of a block must match one line of documented_commands.toml, which
says whether it is run here, by which test, or what it needs; a line that matches nothing is an error.
"""
import glob
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tomllib

PROGRAMS = r"(?:tessera|mpirun|srun|cmake|cpack|ctest|apt-get|git|scripts/[a-z-]+|bench/\S+|build/\S+|<folder>/bin/tessera|python3)"
COMMAND = re.compile(rf"^(?:[A-Z_]+=\S+ )*{PROGRAMS}(?: |$)")


def blocks(text):
    """(line number, text) of the lines of code blocks, continued lines joined."""
    fence, joined, start = None, "", 0
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"^\s*```(\w*)", line)
        if mark:
            fence = None if fence is not None else mark.group(1)
            joined = ""
            continue
        code = fence in ("", "sh", "bash") or (fence is None and re.match(r"^(?: {4}|\t)", line))
        if not code:
            continue
        if not joined:
            start = number
        joined += line.strip()
        if joined.endswith("\\"):
            joined = joined[:-1].rstrip() + " "
            continue
        yield start, re.sub(r"\s+#\s.*$", "", joined)
        joined = ""


def spans(text):
    outside = re.sub(r"```.*?```", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
    for number, line in enumerate(outside.splitlines(), 1):
        if not line.startswith("    "):
            for span in re.findall(r"`(tessera [^`]+)`", line):
                yield number, span


class Help:
    def __init__(self, tessera):
        self.tessera, self.texts = tessera, {}

    def of(self, path):
        if path not in self.texts:
            done = subprocess.run([self.tessera, *path, "--help"], capture_output=True, text=True)
            self.texts[path] = done.stdout if done.returncode == 0 else None
        return self.texts[path]

    def subcommands(self, path):
        return re.findall(r"^  ([a-z-]+) {2,}", (self.of(path) or "").split("Subcommands:")[-1], re.M) \
            if "Subcommands:" in (self.of(path) or "") else []


def words_of(command):
    plain = re.sub(r"[\[\]]|\.\.\.", " ", command.replace("|", " "))  # optional parts of a synopsis
    lexer = shlex.shlex(plain, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    return list(lexer)


def mistakes(command, help_, root):
    """What is wrong with one command, as far as that shows without running it."""
    words = words_of(command)
    at = next((i for i, word in enumerate(words) if word == "tessera" or word.endswith("/tessera")), None)
    wrong = []
    for word in words:
        if re.fullmatch(r"experiments/[a-z0-9_/*.-]+\.toml", word) and not glob.glob(str(root / word)):
            wrong.append(f"no file {word}")
    if at is None:
        if words[0].startswith(("scripts/", "bench/")) and not (root / words[0]).exists():
            wrong.append(f"no file {words[0]}")
        return wrong
    path, rest = (), words[at + 1:]
    while rest and rest[0] in help_.subcommands(path):
        path, rest = path + (rest[0],), rest[1:]
    if rest and re.fullmatch(r"[a-z]+", rest[0]) and help_.subcommands(path):
        return wrong + [f"no subcommand '{rest[0]}'"]
    for word in rest:
        option = re.match(r"--?[a-z][a-z-]*", word)
        if option and not re.search(rf"(?<![\w-]){re.escape(option.group(0))}(?![\w-])", help_.of(path) or ""):
            wrong.append(f"tessera {' '.join(path)} has no option {option.group(0)}")
    # Shipped experiments; a reader's own, made after the documents, may lie in the tree, too.
    is_shipped = rest and rest[0].startswith("experiments/") and (root / rest[0]).is_file()
    if path in (("train",), ("infer",), ("forward",), ("launch",)) and is_shipped:
        settings = [rest[i + 1] for i, word in enumerate(rest[:-1]) if word == "--set"]
        if not any(mark in " ".join(settings) for mark in ("$", "<", "=N")):
            arguments = [part for setting in settings for part in ("--set", setting)]
            done = subprocess.run([help_.tessera, "config", "check", str(root / rest[0]), *arguments],
                                  capture_output=True, text=True)
            if done.returncode != 0:
                wrong.append(done.stderr.strip())
    return wrong


def main():
    tessera, root, folder = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    table = tomllib.loads((root / "tests/integration/documented_commands.toml").read_text())
    rules = [dict(rule, seen=0) for rule in table["command"]]
    environment = dict(os.environ, PATH=f"{pathlib.Path(tessera).parent}:{os.environ['PATH']}")
    problems, ran, checked, help_ = [], set(), 0, Help(tessera)
    documents = [root / "README.md", root / "CONTRIBUTING.md", root / "bench/README.md", *sorted((root / "docs").glob("*.md"))]
    for document in documents:
        text = document.read_text()
        name = document.relative_to(root)
        for number, command in spans(text):
            checked += 1
            problems += [f"{name}:{number}: {wrong}" for wrong in mistakes(command, help_, root)]
        for number, command in blocks(text):
            if not COMMAND.match(command):
                continue
            checked += 1
            problems += [f"{name}:{number}: {wrong}" for wrong in mistakes(command, help_, root)]
            rule = next((rule for rule in rules if re.search(rule["pattern"], command)), None)
            if rule is None:
                problems.append(f"{name}:{number}: not in documented_commands.toml: {command}")
                continue
            rule["seen"] += 1
            if "run" in rule and command not in ran:
                ran.add(command)
                done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True,
                                      stdin=subprocess.DEVNULL)
                if done.returncode not in rule["run"]:
                    problems.append(f"{name}:{number}: exit {done.returncode}: {command}\n{done.stderr[-800:]}")
    for rule in rules:
        if rule["seen"] == 0:
            problems.append(f"documented_commands.toml: no document has '{rule['pattern']}'")
        if sum(key in rule for key in ("run", "test", "needs")) != 1:
            problems.append(f"documented_commands.toml: '{rule['pattern']}' needs one of run, test, needs")
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(1)
    kinds = {key: sum(rule["seen"] for rule in rules if key in rule) for key in ("run", "test", "needs")}
    print(f"{checked} commands checked: {len(ran)} run here, {kinds['test']} by other tests, {kinds['needs']} need more than this machine")


main()
