#!/usr/bin/env bash
# Collectives, and averaged gradients against a plain sum, with 2 and 4 ranks.
source "$(dirname "$0")/lib.sh"
for count in 2 4; do
  ranks $count "$worker" communicator
  ranks $count "$worker" reducer
  ranks $count "$worker" recompute
done
"$worker" communicator # a world of one
