#!/usr/bin/env bash
# Every line of docs/weights.md loads the official file that it names: run on stand-ins with all names
# and shapes of these files.
#   official_weights.sh BUILD SHARED [--all]   --all: the line of every shipped experiment, too
source "$(dirname "$0")/lib.sh"
make_data set 1
video=$(find "$(image_folder "$work/set")" -mindepth 1 -maxdepth 1 -type d | sort | head -1)
mkdir "$work/lines"
python3 "$root/tests/integration/write_avi.py" "$work/lines/clip.mp4" 96 64 "$video"/*.jpg
python3 "$root/tests/integration/official_lines.py" "$root" "$tessera" "$work/lines" --parity "$shared/parity" ${3:+"$3"}
