# Shared by the tests of several ranks: lib.sh of the integration tests, and mpirun.
source "$(dirname "${BASH_SOURCE[0]}")/../integration/lib.sh"
worker=$build/bin/dist_worker
if ! command -v mpirun > /dev/null || ! ldd "$build/libexec/tessera-main" | grep libmpi > /dev/null; then
  echo "skipped: no mpirun, or a build without MPI"
  exit 77
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1
# Time for a checkpoint between mpirun's SIGTERM and its SIGKILL; the default is a second.
export OMPI_MCA_odls_base_sigkill_timeout=${OMPI_MCA_odls_base_sigkill_timeout:-20}

ranks() { # COUNT COMMAND...
  timeout 600 mpirun --oversubscribe --bind-to none -np "$@"
}
