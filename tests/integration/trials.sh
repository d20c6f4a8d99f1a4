#!/usr/bin/env bash
# Every row of the shared table of odd inputs, as trials/README.md states what is right.
source "$(dirname "$0")/lib.sh"
if [ ! -f "$shared/trials/README.md" ]; then
  echo "skipped: no trials/README.md in '$shared'; set TESSERA_SHARED"
  exit 77
fi
python3 "$root/tests/integration/trials.py" "$tessera" "$shared/trials" "$work" "$root/experiments/smoke"
