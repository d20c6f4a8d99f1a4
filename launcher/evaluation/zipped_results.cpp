#include "launcher/evaluation/zipped_results.h"

#include <zip.h>

#include <fstream>
#include <memory>
#include <vector>

#include "core/error.h"

namespace tessera::evaluation {
namespace {

namespace fs = std::filesystem;

using Archive = std::unique_ptr<zip_t, decltype(&zip_discard)>;
using Entry = std::unique_ptr<zip_file_t, decltype(&zip_fclose)>;

constexpr const char* kUsualName = "results.json";

bool is_zip(const fs::path& file) {
  char head[4] = {};
  std::ifstream(file, std::ios::binary).read(head, sizeof(head));
  return std::string_view(head, sizeof(head)) == std::string_view("PK\x03\x04", 4);
}

[[noreturn]] void fail_entry(const fs::path& file, const std::string& got) {
  throw DataError(file.string() + ": expected a zip archive that holds results.json, got " + got +
                  ".");
}

/// The entry to read: results.json wherever it is, else the only .json file.
std::string choose_entry(const fs::path& file, zip_t& archive) {
  std::vector<std::string> usual, others, all;
  const zip_int64_t count = zip_get_num_entries(&archive, 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    const char* const name = zip_get_name(&archive, static_cast<zip_uint64_t>(i), 0);
    if (name == nullptr) continue;
    const fs::path path(name);
    all.emplace_back(name);
    // macOS adds "._results.json", which holds no results.
    if (path.filename().string().starts_with('.')) continue;
    if (path.filename() == kUsualName) usual.emplace_back(name);
    if (path.extension() == ".json") others.emplace_back(name);
  }
  const std::vector<std::string>& found = usual.empty() ? others : usual;
  if (found.size() == 1) return found.front();
  constexpr size_t kMostListed = 10;
  if (all.size() > kMostListed) {
    all.resize(kMostListed);
    all.emplace_back("..");
  }
  fail_entry(file, all.empty() ? "an empty one" : join(all));
}

}  // namespace

std::optional<std::string> read_zipped_results(const fs::path& file) {
  if (!is_zip(file)) return std::nullopt;
  int code = 0;
  const Archive archive(zip_open(file.c_str(), ZIP_RDONLY, &code), &zip_discard);
  if (!archive) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const std::string reason = zip_error_strerror(&error);
    zip_error_fini(&error);
    fail_entry(file, "'" + reason + "'");
  }
  const std::string name = choose_entry(file, *archive);
  zip_stat_t stat;
  const bool has_size =
      zip_stat(archive.get(), name.c_str(), 0, &stat) == 0 && (stat.valid & ZIP_STAT_SIZE) != 0;
  const Entry entry(zip_fopen(archive.get(), name.c_str(), 0), &zip_fclose);
  if (!has_size || !entry) fail_entry(file, "'" + std::string(zip_strerror(archive.get())) + "'");
  // What the archive states is not believed before that many bytes have come.
  constexpr size_t kPart = size_t{1} << 20;
  std::string text;
  while (text.size() < stat.size) {
    const size_t before = text.size();
    text.resize(before + std::min<size_t>(kPart, stat.size - before));
    const zip_int64_t got = zip_fread(entry.get(), text.data() + before, text.size() - before);
    if (got <= 0) fail_entry(file, name + " that is broken or cut off");
    text.resize(before + static_cast<size_t>(got));
  }
  return text;
}

}  // namespace tessera::evaluation
