#include "launcher/inference/mask_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

#include "core/error.h"

namespace tessera {
namespace {

[[noreturn]] void fail_store(const std::filesystem::path& folder, const std::string& doing) {
  throw RuntimeError(folder.string() + ": expected to " + doing + " a file of masks, got '" +
                     std::generic_category().message(errno) +
                     "'. The folder must be writable, with room for the masks of one video.");
}

int open_nameless(const std::filesystem::path& folder) {
  std::string name = (folder / ".tessera-masks-XXXXXX").string();
  const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor < 0) fail_store(folder, "make");
  ::unlink(name.c_str());
  return descriptor;
}

void write_at(int descriptor, const void* bytes, size_t size, uint64_t at,
              const std::filesystem::path& folder) {
  const char* from = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t written = ::pwrite(descriptor, from, size, static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_store(folder, "write");
    from += written;
    at += static_cast<uint64_t>(written);
    size -= static_cast<size_t>(written);
  }
}

/// Bytes read: fewer at the end of the file.
size_t read_at(int descriptor, void* bytes, size_t size, uint64_t at,
               const std::filesystem::path& folder) {
  char* to = static_cast<char*>(bytes);
  size_t done = 0;
  while (done < size) {
    const ssize_t count =
        ::pread(descriptor, to + done, size - done, static_cast<off_t>(at + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_store(folder, "read");
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  return done;
}

}  // namespace

MaskStore::MaskStore(const std::filesystem::path& folder, int64_t num_frames)
    : folder_(folder.empty() ? std::filesystem::path(".") : folder), num_frames_(num_frames) {
  index_ = open_nameless(folder_);
  try {
    data_ = open_nameless(folder_);
  } catch (const RuntimeError&) {
    ::close(index_);
    throw;
  }
}

MaskStore::~MaskStore() {
  ::close(index_);
  ::close(data_);
}

void MaskStore::put(int64_t track, int64_t frame, const data::Rle& mask) {
  const std::string counts = data::encode_counts(mask);
  write_at(data_, counts.data(), counts.size(), data_size_, folder_);
  data_size_ += counts.size();
  const Entry entry{data_size_, static_cast<uint32_t>(counts.size()),
                    static_cast<uint32_t>(mask.height), static_cast<uint32_t>(mask.width), 0};
  write_at(index_, &entry, sizeof(entry),
           static_cast<uint64_t>(track * num_frames_ + frame) * sizeof(entry), folder_);
}

MaskStore::Entry MaskStore::entry(int64_t track, int64_t frame) const {
  Entry entry;
  const size_t read =
      read_at(index_, &entry, sizeof(entry),
              static_cast<uint64_t>(track * num_frames_ + frame) * sizeof(entry), folder_);
  return read == sizeof(entry) ? entry : Entry();
}

std::optional<data::Rle> MaskStore::get(int64_t track, int64_t frame) const {
  const Entry stored = entry(track, frame);
  if (stored.end == 0) return std::nullopt;
  std::string counts(stored.size, '\0');
  if (read_at(data_, counts.data(), counts.size(), stored.end - stored.size, folder_) !=
      counts.size())
    throw RuntimeError(folder_.string() + ": expected a stored mask, got the end of its file.");
  return data::decode_counts(counts, stored.height, stored.width);
}

void MaskStore::forget(int64_t track) {
  if (!has(track)) return;
  const std::vector<Entry> nothing(static_cast<size_t>(num_frames_));
  write_at(index_, nothing.data(), nothing.size() * sizeof(Entry),
           static_cast<uint64_t>(track * num_frames_) * sizeof(Entry), folder_);
}

bool MaskStore::has(int64_t track) const {
  std::vector<Entry> entries(512);
  for (int64_t frame = 0; frame < num_frames_; frame += 512) {
    const size_t count = static_cast<size_t>(std::min<int64_t>(512, num_frames_ - frame));
    const size_t read =
        read_at(index_, entries.data(), count * sizeof(Entry),
                static_cast<uint64_t>(track * num_frames_ + frame) * sizeof(Entry), folder_);
    for (size_t i = 0; i < read / sizeof(Entry); ++i)
      if (entries[i].end > 0) return true;
  }
  return false;
}

}  // namespace tessera
