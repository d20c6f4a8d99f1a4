#!/usr/bin/env python3
"""Draws how the variants of a sweep learn: AP on the validation clips over iterations, and over time.

    bench/plot_sweep.py RUNS OUTPUT.svg [--time TIMES.json]

RUNS is the folder that `tessera sweep` wrote: RUNS/<variant>/seed-<N>/metrics.jsonl. Lines are means over the seeds,
bands reach from the lowest seed to the highest. Time is the training's own wall-clock time (of the steps, without the
validations) unless --time gives seconds per iteration of each variant, {"variant": seconds}, for instance CPU time
where the machine was shared. Needs nothing but Python.
"""
import argparse
import json
import pathlib

COLOURS = ("#1d4ed8", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2")
WIDTH, HEIGHT, MARGIN, GAP = 900, 330, 46, 60


def read_run(file):
    """[(iteration, seconds of training until then, AP in percent)]."""
    points, seconds, before = [], 0.0, 0
    for line in file.read_text().splitlines():
        entry = json.loads(line)
        if "validation" in entry:
            points.append((entry["iteration"], seconds, 100 * max(0.0, entry["validation"]["AP"])))
        elif "seconds" in entry:  # a mean over the steps since the line before
            seconds += entry["seconds"] * (entry["iteration"] - before)
            before = entry["iteration"]
    return points


def read_sweep(folder):
    """{variant: [runs]} in the order of the sweep's table."""
    variants = {}
    for variant in json.loads((folder / "sweep.json").read_text())["variants"]:
        files = sorted((folder / variant["name"]).glob("seed-*/metrics.jsonl"))
        if files:
            variants[variant["name"]] = [read_run(file) for file in files]
    return variants


def means(runs):
    """[(iteration, seconds, mean, lowest, highest)] of the validations that every run has."""
    points = []
    for at in zip(*runs):
        scores = [ap for _, _, ap in at]
        points.append((at[0][0], sum(s for _, s, _ in at) / len(at), sum(scores) / len(scores), min(scores), max(scores)))
    return points


def rounded_step(most, count=5):
    step = 1.0
    while most / step > count:
        step *= 2 if str(step)[0] in "15" else 2.5
    return step


def panel(left, width, title, lines, most_ap):
    """SVG of one diagram. lines: [(colour, [(x, mean, lowest, highest)])]."""
    top, bottom = 34, HEIGHT - 40
    most_x = max(x for _, points in lines for x, *_ in points)

    def place(x, ap):
        return f"{left + x / most_x * width:.1f},{bottom - ap / most_ap * (bottom - top):.1f}"

    svg = [f'<text x="{left + width / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{title}</text>']
    step = rounded_step(most_ap)
    for i in range(int(most_ap / step) + 1):
        y = bottom - i * step / most_ap * (bottom - top)
        svg.append(f'<line x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>')
        svg.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{i * step:g}</text>')
    step = rounded_step(most_x)
    for i in range(1, int(most_x / step) + 1):
        x = left + i * step / most_x * width
        svg.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{i * step:g}</text>')
    for colour, points in lines:
        band = [place(x, high) for x, _, _, high in points] + [place(x, low) for x, _, low, _ in reversed(points)]
        svg.append(f'<polygon points="{" ".join(band)}" fill="{colour}" opacity="0.12"/>')
        svg.append(f'<polyline points="{" ".join(place(x, mean) for x, mean, *_ in points)}" fill="none" '
                   f'stroke="{colour}" stroke-width="2"/>')
        svg.extend(f'<circle cx="{place(x, mean).split(",")[0]}" cy="{place(x, mean).split(",")[1]}" r="3" '
                   f'fill="{colour}"/>' for x, mean, *_ in points)
    return svg


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--time", type=pathlib.Path)
    arguments = parser.parse_args()
    sweep = read_sweep(arguments.runs)
    if not sweep:
        raise SystemExit(f"{arguments.runs}: expected the runs of a sweep, got none")
    per_iteration = json.loads(arguments.time.read_text()) if arguments.time else None
    curves = {name: means(runs) for name, runs in sweep.items()}
    most = 1.08 * max(high for points in curves.values() for *_, high in points)
    colours = dict(zip(curves, COLOURS))
    width = (WIDTH - 2 * MARGIN - GAP) / 2
    by_iteration = [(colours[name], [(i, *scores) for i, _, *scores in points]) for name, points in curves.items()]
    by_time = [(colours[name], [(i * per_iteration[name] if per_iteration else seconds, *scores)
                                for i, seconds, *scores in points]) for name, points in curves.items()]
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
           f'font-size="12">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           f'<text x="{MARGIN}" y="18" font-weight="bold">AP</text>']
    x = MARGIN + 40
    for name, colour in colours.items():
        svg.append(f'<rect x="{x}" y="8" width="12" height="12" fill="{colour}"/><text x="{x + 17}" y="18">{name}</text>')
        x += 36 + 6.6 * len(name)
    svg += panel(MARGIN, width, "iterations", by_iteration, most)
    svg += panel(MARGIN + width + GAP, width, "CPU-seconds of training" if per_iteration else "seconds of training",
                 by_time, most)
    arguments.output.write_text("\n".join(svg) + "\n</svg>\n")


if __name__ == "__main__":
    main()
