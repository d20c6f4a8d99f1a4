#!/usr/bin/env python3
"""Opens a report in headless Chromium and fails where a plot or a clip is empty.

    look_at_report.py BROWSER REPORT.html FOLDER

Two looks: the page's own geometry after its scripts ran, then a picture of it, in which every plot
must have as many coloured pixels as its lines are long.
"""
import html
import json
import pathlib
import re
import struct
import subprocess
import sys
import zlib

WIDTH = 1240
PROBE = """<script>
setTimeout(() => {
  const box = (e) => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height].map(Math.round); };
  const plots = [...document.querySelectorAll('svg.chart')].map((e) => ({
    title: e.getAttribute('aria-label'), box: box(e),
    length: [...e.querySelectorAll('polyline')].reduce((sum, line) => sum + line.getTotalLength(), 0),
    bars: [...e.querySelectorAll('rect')].filter((r) => r.querySelector('title')).length }));
  const clips = [...document.querySelectorAll('.video')].map((e) => ({
    frame: e.querySelector('.frame').textContent, button: e.querySelector('button').textContent,
    images: [...e.querySelectorAll('img')].map((i) => ({ box: box(i), width: i.naturalWidth })) }));
  const probe = document.createElement('pre');
  probe.id = 'probe';
  probe.textContent = JSON.stringify({ plots, clips, height: document.documentElement.scrollHeight,
    tables: [...document.querySelectorAll('table')].map((t) => t.rows.length) });
  document.body.appendChild(probe);
}, 1500);
</script>"""


def browse(browser, page, folder, *arguments):
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               "--hide-scrollbars", f"--user-data-dir={folder}/profile", "--virtual-time-budget=4000",
               *arguments, page.resolve().as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=600).stdout


def read_png(file):
    """(width, height, rows of RGB bytes) of an 8-bit RGB or RGBA file."""
    data, at, packed = file.read_bytes(), 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert depth == 8 and colour in (2, 6), (depth, colour)
            step = 3 if colour == 2 else 4
        elif kind == b"IDAT":
            packed += body
        at += size + 12
    raw, rows, before = zlib.decompress(packed), [], bytes(width * step)
    for y in range(height):
        start = y * (width * step + 1)
        rule, line = raw[start], bytearray(raw[start + 1:start + 1 + width * step])
        for i in range(len(line) if rule else 0):
            left = line[i - step] if i >= step else 0
            up, corner = before[i], before[i - step] if i >= step else 0
            if rule == 1:
                line[i] = (line[i] + left) & 255
            elif rule == 2:
                line[i] = (line[i] + up) & 255
            elif rule == 3:
                line[i] = (line[i] + (left + up) // 2) & 255
            else:
                guess = left + up - corner
                near = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))
                line[i] = (line[i] + near[2]) & 255
        before = bytes(line)
        rows.append(before)
    return width, height, step, rows


def main():
    browser, report, folder = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    probed = folder / "probed.html"
    probed.write_text(report.read_text().replace("</body>", PROBE + "</body>"))
    dom = browse(browser, probed, folder, f"--window-size={WIDTH},900", "--dump-dom")
    found = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.S)
    if not found:
        sys.exit("the page's scripts did not run: " + dom[-400:])
    page = json.loads(html.unescape(found.group(1)))
    problems = []
    picture = folder / "report.png"
    # The same height, so that boxes are where they were.
    browse(browser, report, folder, f"--window-size={WIDTH},{page['height']}", f"--screenshot={picture}")
    width, height, step, rows = read_png(picture)

    def pixels(box):
        left, top, wide, high = box
        for y in range(max(0, top), min(height, top + high)):
            row = rows[y]
            for x in range(max(0, left), min(width, left + wide)):
                yield row[x * step:x * step + 3]

    if len(page["plots"]) < 4:
        problems.append(f"expected plots of scores, losses, the step's time and failures, got {[p['title'] for p in page['plots']]}")
    for plot in page["plots"]:
        # Grid and text are grey, lines and bars are not.
        coloured = sum(max(p) - min(p) > 60 for p in pixels(plot["box"]))
        scale = plot["box"][2] / 560
        if plot["length"] == 0 and plot["bars"] == 0:
            problems.append(f"empty plot '{plot['title']}': neither lines nor bars")
        elif plot["length"] * scale > 0 and coloured < 0.5 * plot["length"] * scale:
            problems.append(f"empty plot '{plot['title']}': {coloured} coloured pixels for lines of {plot['length']:.0f}")
        elif plot["bars"] > 0 and coloured < 10 * plot["bars"]:
            problems.append(f"empty plot '{plot['title']}': {coloured} coloured pixels for {plot['bars']} bars")
    if not page["clips"]:
        problems.append("no clips")
    for clip in page["clips"]:
        if not re.fullmatch(r"frame [2-9]\d* of \d+", clip["frame"]) or clip["button"] != "pause":
            problems.append(f"a clip does not play: '{clip['frame']}', button '{clip['button']}'")
        for image in clip["images"]:
            if image["width"] == 0:
                problems.append("an image of a clip is broken")
            elif len({bytes(p) for p in pixels(image["box"])}) < 50:
                problems.append("an image of a clip shows nothing")
    if len(page["tables"]) < 4:
        problems.append(f"expected tables of scores, diagnostics and differences, got {len(page['tables'])}")
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(1)
    print(f"{len(page['plots'])} plots, {len(page['clips'])} clips, {len(page['tables'])} tables: "
          + ", ".join(f"{p['title']} ({round(p['length'])} px, {p['bars']} bars)" for p in page["plots"]))


main()
