# Shared by the tests of several ranks: lib.sh of the integration tests, and mpirun.
source "$(dirname "${BASH_SOURCE[0]}")/../integration/lib.sh"
worker=$build/bin/dist_worker
if ! command -v mpirun > /dev/null || ! ldd "$build/libexec/tessera-main" | grep libmpi > /dev/null; then
  echo "skipped: no mpirun, or a build without MPI"
  exit 77
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1
# mpirun waits so long for what is left of a job that failed, twice; the default of a second may be too short
# for a busy machine to say why.
export OMPI_MCA_odls_base_sigkill_timeout=${OMPI_MCA_odls_base_sigkill_timeout:-5}

# strip FILE: metrics.jsonl without its times.
strip() { sed -E 's/"(seconds|data_seconds|time)": ?[^,}]*//g' "$1"; }
processes_of() { # TEXT: training processes whose command line has it, "process rank" lines
  local pid rank
  for pid in $(pgrep -f "^[^ ]*/(tessera|tessera-main|dist_worker) .*$1"); do
    rank=$(tr '\0' '\n' < "/proc/$pid/environ" 2> /dev/null | sed -n 's/^OMPI_COMM_WORLD_RANK=//p') || continue
    [ -z "$rank" ] || echo "$pid $rank"
  done
}
ranks() { # COUNT COMMAND...
  timeout 600 mpirun --oversubscribe --bind-to none -np "$@"
}
