#include "launcher/data/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace tessera::data {
namespace {

uintptr_t page_size() {
  return static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& file) {
  const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  struct stat status {};
  if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
    const auto size = static_cast<size_t>(status.st_size);
    void* const data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data != MAP_FAILED) {
      data_ = static_cast<const char*>(data);
      size_ = size;
    }
  }
  close(descriptor);
}

MappedFile::MappedFile(std::string text) : own_(std::move(text)), size_(own_.size()) {
  constexpr size_t kRoom = 256;  // parsers read ahead; see readable_after
  own_.append(kRoom, ' ');
  data_ = own_.data();
}

MappedFile::~MappedFile() {
  if (own_.empty() && data_ != nullptr) munmap(const_cast<char*>(data_), size_);
}

size_t MappedFile::readable_after(std::string_view part) const {
  if (!own_.empty())
    return own_.size() - static_cast<size_t>(part.data() + part.size() - own_.data());
  const uintptr_t page = page_size();
  const auto end = reinterpret_cast<uintptr_t>(data_) + size_;
  return (end + page - 1) / page * page - reinterpret_cast<uintptr_t>(part.data() + part.size());
}

void MappedFile::release(std::string_view part) const {
  if (!own_.empty()) return;
  // Each call interrupts every processor that runs a thread of ours, so few large ones.
  constexpr size_t kBatch = size_t{1} << 24;
  const size_t before = released_.fetch_add(part.size());
  if (before / kBatch != (before + part.size()) / kBatch)
    madvise(const_cast<char*>(data_), size_, MADV_DONTNEED);
}

}  // namespace tessera::data
