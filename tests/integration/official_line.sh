#!/usr/bin/env bash
# The whole line of a published experiment, as a user runs it: an official file in, real frames in
# several windows, results and their zip, pictures, score. On stand-ins of the official files with
# random numbers, at small frames.
#   official_line.sh BUILD SHARED [--published] [SYSTEM...]   --published: frames of the published size
source "$(dirname "$0")/lib.sh"
data=$shared/data/minivis
if [ ! -d "$data" ]; then
  echo "skipped: no reference data at $shared"
  exit 77
fi
python3 "$root/tests/integration/official_line.py" "$root" "$tessera" "$data" "$work" "${@:3}"
