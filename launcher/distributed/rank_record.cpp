#include "launcher/distributed/rank_record.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "core/error.h"

namespace tessera {
namespace {

constexpr std::array<const char*, 9> kNames{"starting",   "waiting for data", "forward",
                                            "backward",   "optimiser step",   "validation",
                                            "checkpoint", "failed",           "ended"};
constexpr std::string_view kRecordPrefix = "rank-";
constexpr uint64_t kMagic = 0x3153414c54534554ull;

}  // namespace

const char* phase_name(Phase phase) {
  return kNames.at(static_cast<size_t>(phase));
}

std::string RankStatus::text() const {
  return "rank " + std::to_string(rank) + " on " + host + " (process " + std::to_string(process) +
         ", step " + std::to_string(step) + ", phase " + phase_name(phase) + ")";
}

std::string RankStatus::encode() const {
  std::ostringstream out;
  out << rank << ' ' << host << ' ' << process << ' ' << step << ' ' << progress << ' '
      << static_cast<int64_t>(phase);
  return out.str();
}

RankStatus RankStatus::decode(const std::string& text) {
  std::istringstream in(text);
  RankStatus status;
  int64_t phase = 0;
  in >> status.rank >> status.host >> status.process >> status.step >> status.progress >> phase;
  if (!in || phase < 0 || phase >= static_cast<int64_t>(kNames.size()))
    throw RuntimeError("rank status: expected six fields, got '" + text + "'.");
  status.phase = static_cast<Phase>(phase);
  return status;
}

struct RankRecord::Layout {
  uint64_t magic;
  int64_t rank, process;
  char host[256];
  // Written by the thread that trains, read by the one that watches.
  std::atomic<int64_t> step, progress, phase;
};

RankRecord::RankRecord(const std::filesystem::path& folder, const RankStatus& status) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const auto file = folder / (std::string(kRecordPrefix) + std::to_string(status.rank));
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  void* mapped = MAP_FAILED;
  if (descriptor >= 0 && ::ftruncate(descriptor, sizeof(Layout)) == 0)
    mapped = ::mmap(nullptr, sizeof(Layout), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  const int error_number = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (mapped == MAP_FAILED)
    throw RuntimeError(file.string() + ": expected a file that can be mapped, got '" +
                       std::strerror(error_number) + "'. Check --output and its permissions.");
  record_ = static_cast<Layout*>(mapped);
  record_->rank = status.rank;
  record_->process = status.process;
  std::strncpy(record_->host, status.host.c_str(), sizeof(record_->host) - 1);
  record_->magic = kMagic;
  enter(status.phase, status.step);
}

RankRecord::~RankRecord() {
  ::munmap(record_, sizeof(Layout));
}

void RankRecord::enter(Phase phase, int64_t step) {
  record_->step.store(step, std::memory_order_relaxed);
  record_->phase.store(static_cast<int64_t>(phase), std::memory_order_relaxed);
  record_->progress.fetch_add(1, std::memory_order_relaxed);
}

RankStatus RankRecord::status() const {
  return {record_->rank,
          record_->host,
          record_->process,
          record_->step.load(),
          record_->progress.load(),
          static_cast<Phase>(record_->phase.load())};
}

std::vector<RankStatus> read_rank_records(const std::filesystem::path& folder) {
  struct Bytes {
    uint64_t magic;
    int64_t rank, process;
    char host[256];
    int64_t step, progress, phase;
  };
  static_assert(sizeof(Bytes) == sizeof(std::atomic<int64_t>) * 6 + 256);
  std::vector<RankStatus> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (!entry.path().filename().string().starts_with(kRecordPrefix)) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    Bytes bytes{};
    if (!file.read(reinterpret_cast<char*>(&bytes), sizeof(bytes)) || bytes.magic != kMagic ||
        bytes.phase < 0 || bytes.phase >= static_cast<int64_t>(kNames.size()))
      continue;  // of a job that ended while it made the file
    bytes.host[sizeof(bytes.host) - 1] = '\0';
    found.push_back({bytes.rank, bytes.host, bytes.process, bytes.step, bytes.progress,
                     static_cast<Phase>(bytes.phase)});
  }
  std::sort(found.begin(), found.end(),
            [](const RankStatus& a, const RankStatus& b) { return a.rank < b.rank; });
  return found;
}

}  // namespace tessera
