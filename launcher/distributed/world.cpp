#include "launcher/distributed/world.h"

#include <unistd.h>

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

std::string machine_name() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "unknown";
}

}  // namespace

std::string World::who() const {
  return size_ == 1 ? "" : "rank " + std::to_string(rank_) + " on " + host_;
}

bool World::is_built_with_mpi() {
#ifdef TESSERA_WITH_MPI
  return true;
#else
  return false;
#endif
}

void World::expect_every_task(const std::string& work) const {
  if (size_ > 1 || !claim_) return;
  const std::string advice =
      is_built_with_mpi()
          ? "Start the processes so that MPI sees them: 'srun --mpi=pmix tessera " + work +
                " ...' with Slurm, or mpirun."
          : "This build has no MPI: install Open MPI and configure with -DTESSERA_MPI=ON, or start "
            "a single process.";
  throw ConfigError(work + ": expected the " + std::to_string(claim_->tasks) + " processes that " +
                    claim_->statement + " states, got one that MPI does not connect with others. " +
                    advice + " If this process has its own work and its own output: env -u " +
                    join(claim_->variables, " -u ") + " tessera " + work + " ...");
}

#ifdef TESSERA_WITH_MPI

namespace {

void expect_success(int status, const char* what) {
  if (status != MPI_SUCCESS)
    throw RuntimeError(std::string("MPI: expected ") + what + " to succeed, got error " +
                       std::to_string(status) + ".");
}

}  // namespace

World::World()
    : host_(machine_name()),
      claim_(find_launch_claim([](const char* name) { return std::getenv(name); })) {
  // Open MPI ends the process if it is started in a Slurm step without a process manager.
  if (!claim_ || !claim_->is_mpi_reachable) return;
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

std::string World::from_first(const std::string& text) const {
  if (size_ == 1) return text;
  int64_t length = static_cast<int64_t>(text.size());
  expect_success(MPI_Bcast(&length, 1, MPI_INT64_T, 0, MPI_COMM_WORLD), "MPI_Bcast");
  std::string shared = is_first() ? text : std::string(static_cast<size_t>(length), '\0');
  expect_success(MPI_Bcast(shared.data(), static_cast<int>(length), MPI_CHAR, 0, MPI_COMM_WORLD),
                 "MPI_Bcast");
  return shared;
}

std::vector<std::string> World::gather_everywhere(const std::string& text) const {
  // Each text with its length before it: one broadcast carries them all.
  std::string packed;
  for (const std::string& part : gather(text)) packed += std::to_string(part.size()) + ":" + part;
  packed = from_first(packed);
  std::vector<std::string> parts;
  for (size_t at = 0; at < packed.size();) {
    const size_t colon = packed.find(':', at);
    const size_t length = std::stoull(packed.substr(at, colon - at));
    parts.push_back(packed.substr(colon + 1, length));
    at = colon + 1 + length;
  }
  return parts;
}

void World::finish(int code) {
  if (!joined_) return;
  joined_ = false;
  if (code != kOk && code != kPreempted) MPI_Abort(MPI_COMM_WORLD, code);
  MPI_Finalize();
}

#else

World::World()
    : host_(machine_name()),
      claim_(find_launch_claim([](const char* name) { return std::getenv(name); })) {}

World::~World() = default;

std::vector<std::string> World::gather(const std::string& bytes) const {
  return {bytes};
}

std::vector<std::string> World::gather_everywhere(const std::string& text) const {
  return {text};
}

std::string World::from_first(const std::string& text) const {
  return text;
}

void World::finish(int) {}

#endif

}  // namespace tessera
