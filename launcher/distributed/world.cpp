#include "launcher/distributed/world.h"

#include <cstdlib>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "launcher/run_main.h"
#ifdef TESSERA_WITH_MPI
#include <mpi.h>
#endif

namespace tessera {
namespace {

/// What Open MPI's mpirun, PMIx (srun --mpi=pmix) and PMI-2 (srun --mpi=pmi2) tell a process.
bool is_started_with_others() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"})
    if (const char* size = std::getenv(name)) return std::atoll(size) > 1;
  return false;
}

}  // namespace

#ifdef TESSERA_WITH_MPI

namespace {

void expect_success(int status, const char* what) {
  if (status != MPI_SUCCESS)
    throw RuntimeError(std::string("MPI: expected ") + what + " to succeed, got error " +
                       std::to_string(status) + ".");
}

}  // namespace

World::World() {
  if (!is_started_with_others()) return;
  int provided = 0;
  // Other threads compute; MPI is called from this one alone.
  expect_success(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init");
  joined_ = true;
  int rank = 0, size = 1, local_rank = 0, local_size = 1;
  expect_success(MPI_Comm_rank(MPI_COMM_WORLD, &rank), "MPI_Comm_rank");
  expect_success(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
  MPI_Comm machine = MPI_COMM_NULL;
  expect_success(
      MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &machine),
      "MPI_Comm_split_type");
  expect_success(MPI_Comm_rank(machine, &local_rank), "MPI_Comm_rank");
  expect_success(MPI_Comm_size(machine, &local_size), "MPI_Comm_size");
  expect_success(MPI_Comm_free(&machine), "MPI_Comm_free");
  rank_ = rank;
  size_ = size;
  local_rank_ = local_rank;
  local_size_ = local_size;
}

World::~World() {
  if (joined_) MPI_Finalize();
}

std::vector<std::string> World::gather(const std::string& bytes) const {
  if (size_ == 1) return {bytes};
  int64_t own = static_cast<int64_t>(bytes.size());
  std::vector<int64_t> sizes(static_cast<size_t>(size_));
  expect_success(MPI_Allgather(&own, 1, MPI_INT64_T, sizes.data(), 1, MPI_INT64_T, MPI_COMM_WORLD),
                 "MPI_Allgather");
  const int64_t total = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  if (total > std::numeric_limits<int>::max())
    throw RuntimeError("MPI: expected at most 2 GiB to gather, got " + std::to_string(total) +
                       " bytes. Use fewer videos in one call.");
  std::vector<int> counts(sizes.begin(), sizes.end()), starts(sizes.size(), 0);
  std::partial_sum(counts.begin(), counts.end() - 1, starts.begin() + 1);
  std::string all(is_first() ? static_cast<size_t>(total) : 0, '\0');
  expect_success(MPI_Gatherv(bytes.data(), static_cast<int>(own), MPI_CHAR, all.data(),
                             counts.data(), starts.data(), MPI_CHAR, 0, MPI_COMM_WORLD),
                 "MPI_Gatherv");
  std::vector<std::string> parts;
  if (is_first())
    for (size_t i = 0; i < counts.size(); ++i)
      parts.push_back(all.substr(static_cast<size_t>(starts[i]), static_cast<size_t>(counts[i])));
  return parts;
}

void World::finish(int code) {
  if (!joined_) return;
  joined_ = false;
  if (code != kOk && code != kPreempted) MPI_Abort(MPI_COMM_WORLD, code);
  MPI_Finalize();
}

#else

World::World() {
  if (is_started_with_others())
    throw ConfigError(
        "expected a build with MPI where several processes are started, got one without. Install "
        "Open MPI and configure with -DTESSERA_MPI=ON, or start a single process.");
}

World::~World() = default;

std::vector<std::string> World::gather(const std::string& bytes) const {
  return {bytes};
}

void World::finish(int) {}

#endif

}  // namespace tessera
