#!/usr/bin/env python3
"""Writes docs/recipes.md: every value of the published experiments beside the authors'.

    docs/recipes/write_table.py [--tessera build/release/bin/tessera] > docs/recipes.md
    docs/recipes/write_table.py --authors FOLDER      # also reads the authors' files; needs PyYAML
    docs/recipes/write_table.py --only 'vistr_*'      # some experiments, to try a change

Ours is read from the experiments as `tessera config show` resolves them, the authors' from the TOML files in this
folder, one for each system. Every file of experiments/ whose name does not begin with "quickstart_" is a published
experiment. It is an error, printed with all others, when a published experiment is in no TOML file or lacks a key of
ALWAYS_STATED, when ours is not the official value and no reason is given, and when a reason is given for equal values.

With --authors, FOLDER holds clones of the authors' repositories (FOLDER/<name> or FOLDER/<owner>+<name>): every
official value that has a place in a YAML file, a script or a table of options is read there and compared, and every
key that an official configuration states must be in the TOML file, with a value or as unused.

A TOML file:

    system, prefix     heading; what the experiments' names begin with and the page leaves out
    repository         of the authors, or `paper` where no code exists
    extends            another TOML file of this folder, whose values, defaults and unused keys hold here, too
    defaults           files of the repository whose values hold where a configuration is silent
    [[configurations]] experiments (patterns) and the official file that they follow
    [[values]]         title of a table; experiments (patterns; without: all of the file); without: keys of ours whose
                       rows above do not hold for these; rows:
                         key       the authors' name of the value, official: its value there
                         file      where it stands, when not in the configuration or its defaults
                         ours      the key here; entries of lists by number or by their kind, plugin or name; without
                                   it there is none, and a reason says why
                         equals    the official value in our terms, when it is not the same number or word
                         reason    why ours differs; only then
                         note      a remark on equal values
                       A later row with the same key and ours replaces an earlier one.
    [[unused]]         keys (patterns) of the configurations without a counterpart here, and why; experiments (patterns)
"""
import argparse
import ast
import collections
import concurrent.futures
import fnmatch
import math
import os
import pathlib
import re
import subprocess
import sys
import tomllib

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
# What every published experiment must have a row for; of several, one.
ALWAYS_STATED = [
    ("train.optimiser.kind",), ("train.optimiser.lr",), ("train.optimiser.weight_decay",),
    ("train.groups[0].lr_factor", "train.groups"),
    ("train.total_batch",), ("train.epochs", "train.iterations"), ("train.schedule.drops",), ("train.schedule.factor",),
    ("train.schedule.warmup_iterations",), ("train.clip_gradients",), ("train.seed",), ("train.seeds",),
    ("data.num_frames",), ("data.sampling.kind",), ("data.num_categories",), ("data.normalise.mean",),
    ("data.resize",), ("data.resize_rounding",),
    ("data.augment.steps[flip].probability",), ("data.augment.steps[resize].short_sides",),
    ("model.backbone.depth", "model.backbone.variant"),
    ("model.backbone.frozen_stages", "model.backbone.stochastic_depth"),
    ("model.encoder.num_layers", "model.encoder.tokens.num_layers"), ("model.decoder.num_layers",),
    ("model.encoder.dim", "model.encoder.tokens.dim"), ("model.decoder.num_queries",),
    ("model.encoder.dropout", "model.encoder.tokens.dropout"), ("model.decoder.dropout",),
    ("loss.terms.loss_ce.weight",), ("loss.terms.loss_mask.weight",), ("loss.terms.loss_dice.weight",),
    ("loss.matcher.class_weight",), ("inference.short_side",), ("inference.max_side",), ("inference.window",),
    ("inference.overlap", "inference.window"), ("inference.select",), ("inference.mask_threshold",),
    ("inference.frame_score_threshold",),
]
ROW_KEYS = {"key", "official", "file", "ours", "equals", "reason", "note"}


def look_up(table, path):
    """The value at `path` of a resolved experiment, or None: names, and [2] or [resize] for entries of lists."""
    value = table
    for name, entry in re.findall(r"([^.\[\]]+)|\[([^\]]*)\]", path):
        if name:
            value = value.get(name) if isinstance(value, dict) else None
        elif isinstance(value, dict):  # a list of one plugin may be written as the plugin
            value = value if entry == "0" else None
        elif not isinstance(value, list):
            return None
        elif entry.isdigit():
            value = value[int(entry)] if int(entry) < len(value) else None
        else:
            value = next((v for v in value if entry in (v.get("kind"), v.get("plugin"), v.get("name"))), None)
        if value is None:
            return None
    return value


def is_equal(a, b):
    if isinstance(a, list) or isinstance(b, list):
        return isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and all(map(is_equal, a, b))
    if isinstance(a, bool) or isinstance(b, bool) or isinstance(a, str) or isinstance(b, str):
        return type(a) is type(b) and a == b
    return a is not None and b is not None and math.isclose(a, b, rel_tol=1e-9)


def text_of(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(text_of, value))
    if isinstance(value, float):
        return f"{value:.12g}"
    return str(value)


class System:
    """One TOML file."""

    def __init__(self, file, published, problems, is_whole=True):
        """`is_whole`: published is all that there is, so a pattern without an experiment is a mistake."""
        self.name, self.problems, self.is_whole = file.name, problems, is_whole
        self.data = tomllib.loads(file.read_text())
        self.own_blocks = list(self.data["values"])
        if "extends" in self.data:
            base = tomllib.loads((file.parent / self.data["extends"]).read_text())
            self.data["values"] = base["values"] + self.data["values"]
            self.data["unused"] = base.get("unused", []) + self.data.get("unused", [])
            self.data.setdefault("defaults", base.get("defaults", []))
        self.experiments = {}  # name -> configuration
        for configuration in self.data["configurations"]:
            for name in self.matching(published, configuration["experiments"]):
                if name in self.experiments:
                    self.problem(f"{name} has two configurations")
                self.experiments[name] = configuration

    def problem(self, text):
        self.problems.append(f"{self.name}: {text}")

    def matching(self, names, patterns):
        found = [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
        for pattern in patterns:
            if self.is_whole and not fnmatch.filter(names, pattern):
                self.problem(f"no experiment matches '{pattern}'")
        return found

    def check_form(self):
        for block in self.own_blocks:
            self.matching(list(self.experiments), block.get("experiments", ["*"]))
            for row in block["rows"]:
                if unknown := set(row) - ROW_KEYS:
                    self.problem(f"{row.get('key')}: unknown {', '.join(sorted(unknown))}")

    def rows(self, experiment):
        """(title, row) of an experiment, later ones in the place of the earlier ones that they replace."""
        found = {}
        for block in self.data["values"]:
            if not any(fnmatch.fnmatchcase(experiment, pattern) for pattern in block.get("experiments", ["*"])):
                continue
            for place in [place for place in found if place[1] in block.get("without", [])]:
                del found[place]
            for row in block["rows"]:
                found[row["key"], row.get("ours")] = (block["title"], row)
        return list(found.values())

    def short(self, experiment):
        return experiment.removeprefix(self.data.get("prefix", ""))

    def names_of(self, experiments):
        """"all", or the fewest patterns and names that stand for these alone."""
        every = [self.short(name) for name in self.experiments]
        chosen = [self.short(name) for name in experiments]
        if len(chosen) == len(every):
            return "all"
        patterns = list(chosen)
        for words in (name.split("_") for name in chosen):
            for count in range(1, len(words)):
                patterns += ["_".join(words[:count]) + "_*", "*_" + "_".join(words[count:])]
        matches = {pattern: fnmatch.filter(every, pattern) for pattern in patterns}
        matches = {pattern: names for pattern, names in matches.items() if set(names) <= set(chosen)}
        names, left = [], set(chosen)
        while left:
            best = max(matches, key=lambda p: (len(left & set(matches[p])), "*" not in p, -len(p), p))
            names.append(best)
            left -= set(matches[best])
        return ", ".join(f"`{name}`" for name in sorted(names))


def check_row(system, experiment, row, resolved):
    """Our value, and whether it is equal."""
    if "ours" not in row:
        if "reason" not in row:
            system.problem(f"{experiment}: {row['key']}: expected ours or a reason, got neither")
        return "-", False
    ours = look_up(resolved, row["ours"])
    equal = is_equal(ours, row.get("equals", row["official"]))
    where = f"{experiment}: {row['ours']}"
    if ours is None:
        system.problem(f"{where}: the experiment has no such key")
    elif not equal and "reason" not in row:
        system.problem(f"{where}: expected the official {text_of(row.get('equals', row['official']))} "
                       f"({row['key']}) or a reason, got {text_of(ours)}")
    elif equal and "reason" in row:
        system.problem(f"{where}: a reason for a difference, but both are {text_of(ours)}; remove it or make it a note")
    return ours, equal


def cell(text):
    return text.replace("|", "\\|")


def section(system, resolved):
    data = system.data
    lines = [f"## {data['system']}", ""]
    source = data.get("repository")
    if source:
        lines += [f"Source: [{source}](https://github.com/{source}). {data.get('about', '')}".rstrip(), ""]
    else:
        lines += [f"Source: {data['paper']}. {data.get('about', '')}".rstrip(), ""]
    lines += ["| experiment | official configuration |", "|---|---|"]
    for name, configuration in system.experiments.items():
        other = configuration.get("repository")
        lines.append(f"| `{name}` | {other + ': ' if other else ''}{configuration['file']} |")
    tables = collections.defaultdict(dict)  # title -> {row and our value: experiments}
    for experiment in system.experiments:
        for title, row in system.rows(experiment):
            ours, equal = check_row(system, experiment, row, resolved[experiment])
            same = f"equal: {row['note']}" if "note" in row else "equal in our terms" if "equals" in row else "equal"
            verdict = same if equal else row.get("reason", "?")
            line = (row["key"], row.get("file", ""), text_of(row["official"]), row.get("ours", ""), text_of(ours),
                    verdict)
            tables[title].setdefault(line, []).append(experiment)
    for title, table in tables.items():
        lines += ["", f"### {data['system']}: {title.lower()}", "",
                  "| official key | official | ours | key here | experiments | equal, or why not |",
                  "|---|---|---|---|---|---|"]
        order = list(dict.fromkeys((line[0], line[3]) for line in table))
        for line, experiments in sorted(table.items(), key=lambda item: order.index((item[0][0], item[0][3]))):
            key, file, official, ours_key, ours, verdict = line
            place = f"`{key}`" if not file else f"{key} ({file})"
            lines.append("| " + " | ".join(cell(part) for part in (
                place, official, ours, ours_key and f"`{ours_key}`", system.names_of(experiments), verdict)) + " |")
    if data.get("unused"):
        lines += ["", f"### {data['system']}: official keys without a counterpart", "", "| keys | why |", "|---|---|"]
        for entry in data["unused"]:
            lines.append("| " + ", ".join(f"`{key}`" for key in entry["keys"]) + f" | {cell(entry['reason'])} |")
    return lines + [""]


# The authors' files ---------------------------------------------------------------------------------------------


def flat(table, prefix=""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, plain(value)


def plain(value):
    """detectron2 writes tuples as strings."""
    if isinstance(value, str) and re.fullmatch(r"\s*[(\[].*[)\]]\s*", value):
        value = ast.literal_eval(value)
    return list(value) if isinstance(value, tuple) else value


def is_number_or_literal(node):
    try:
        literal(node)
    except (ValueError, TypeError):
        return False
    return True


def literal(node):
    """A constant, or a product of constants."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return literal(node.left) * literal(node.right)
    return plain(ast.literal_eval(node))


class AuthorsFiles:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def path(self, repository, file):
        for owner_and_name in (repository, "facebookresearch/detectron2"):  # a copy of it, or itself
            owner, name = owner_and_name.split("/")
            for folder in (self.folder / name, self.folder / f"{owner}+{name}"):
                if (folder / file).exists():
                    return folder / file
        raise FileNotFoundError(f"{repository}: {file}")

    def yaml(self, path):
        import yaml
        table = yaml.safe_load(path.read_text())
        base = table.pop("_BASE_", None)
        return {**(self.yaml(path.parent / base) if base else {}), **dict(flat(table))}

    def config_py(self, path):
        """cfg.A.B = value of detectron2's projects, _C.A.B = value of its own defaults."""
        found = {}
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
                root, _, key = ast.unparse(node.targets[0]).partition(".")
                if root in ("cfg", "_C") and is_number_or_literal(node.value):
                    found[key] = literal(node.value)
        return found

    def options(self, path):
        """Defaults of argparse's options; those of flags are false, or true where the flag stores false."""
        found = {}
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr != "add_argument":
                continue
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            value = literal(given["default"]) if "default" in given and is_number_or_literal(given["default"]) else None
            if "action" in given and "default" not in given:
                value = literal(given["action"]) == "store_false"
            found[literal(node.args[0])] = value
        return found

    def script(self, path):
        """The options that a shell script passes."""
        words = re.sub(r"#.*", "", path.read_text().split("main.py")[1]).replace("\\", " ").split()
        found, key = {}, None
        for word in words:
            if word.startswith("--"):
                key = word
                found[key] = []
            elif key:
                found[key].append(word)

        def value(items):
            numbers = [float(item) if re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", item) else item for item in items]
            return True if not items else numbers[0] if len(numbers) == 1 else numbers
        return {key: value(items) for key, items in found.items()}

    def stated(self, repository, file):
        """key -> value of one file; None for a file whose values have no such form."""
        path = self.path(repository, file)
        if path.suffix in (".yaml", ".yml"):
            return self.yaml(path)
        if path.suffix == ".sh":
            return self.script(path)
        if path.suffix == ".py" and "ArgumentParser" in path.read_text():
            return self.options(path)
        if path.suffix == ".py" and re.search(r"^\s*(cfg|_C)\.[A-Z]", path.read_text(), re.M):
            return self.config_py(path)
        return None


def check_authors(system, authors):
    """How many official values were found in the authors' files and are the same."""
    data, compared = system.data, 0
    if "repository" not in data:
        return 0
    for experiment, configuration in system.experiments.items():
        repository = configuration.get("repository", data["repository"])
        stated = authors.stated(repository, configuration["file"])
        if stated is None:
            stated = {}
        known = dict(stated)
        for default in data.get("defaults", []):
            for key, value in (authors.stated(repository, default) or {}).items():
                known.setdefault(key, value)
                if not default.startswith("detectron2/"):  # of which few concern a model
                    stated.setdefault(key, value)
        rows = [row for _, row in system.rows(experiment)]
        for row in rows:
            if "file" in row:
                if re.search(r"\.(py|sh|ya?ml|md)$", row["file"]):
                    authors.path(data["repository"], row["file"])
                continue
            if row["key"] not in known:
                system.problem(f"{experiment}: {configuration['file']} has no {row['key']}")
            elif not is_equal(known[row["key"]], row["official"]):
                system.problem(f"{experiment}: {row['key']}: stated {text_of(row['official'])}, "
                               f"the authors' file has {text_of(known[row['key']])}")
            else:
                compared += 1
        unused = [key for entry in data.get("unused", []) for key in entry["keys"]
                  if any(fnmatch.fnmatchcase(experiment, pattern) for pattern in entry.get("experiments", ["*"]))]
        for key in stated:
            is_unused = any(fnmatch.fnmatchcase(key, pattern) for pattern in unused)
            if not is_unused and not any(row["key"] == key for row in rows):
                system.problem(f"{experiment}: no row for {key} = {text_of(stated[key])} of {configuration['file']}")
    return compared


def resolve(tessera, experiment):
    shown = subprocess.run([tessera, "config", "show", str(ROOT / f"experiments/{experiment}.toml")],
                           capture_output=True, text=True, check=False)
    if shown.returncode != 0:
        sys.exit(f"write_table.py: tessera config show experiments/{experiment}.toml: {shown.stderr.strip()}")
    return tomllib.loads(shown.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tessera", default=str(ROOT / "build/release/bin/tessera"))
    parser.add_argument("--authors", help="folder with clones of the authors' repositories")
    parser.add_argument("--only", default="*", help="experiments to take, a pattern")
    options = parser.parse_args()
    problems = []
    published = sorted(file.stem for file in (ROOT / "experiments").glob("*.toml")
                       if not file.stem.startswith("quickstart_"))
    published = fnmatch.filter(published, options.only)
    systems = [System(file, published, problems, options.only == "*") for file in sorted(FOLDER.glob("*.toml"))]
    systems = [system for system in systems if system.experiments]
    for name in published:
        found = [system.name for system in systems if name in system.experiments]
        if len(found) != 1:
            problems.append(f"experiments/{name}.toml: expected one file of docs/recipes with its values, "
                            f"got {', '.join(found) or 'none'}")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        resolved = dict(zip(published, threads.map(lambda name: resolve(options.tessera, name), published)))
    lines = []
    for system in systems:
        system.check_form()
        lines += section(system, resolved)
        for experiment in system.experiments:
            keys = {row.get("ours") for _, row in system.rows(experiment)}
            for alternatives in ALWAYS_STATED:
                if not keys & set(alternatives):
                    system.problem(f"{experiment}: expected a row for {' or '.join(alternatives)}, got none")
        if options.authors:
            compared = check_authors(system, AuthorsFiles(options.authors))
            print(f"{system.name}: {compared} values are those of the authors' files", file=sys.stderr)
    if problems:
        sys.exit("\n".join(dict.fromkeys(problems)))
    print((FOLDER / "head.md").read_text().rstrip() + "\n\n" + "\n".join(lines).rstrip())


main()
