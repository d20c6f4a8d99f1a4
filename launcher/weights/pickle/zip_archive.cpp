#include "launcher/weights/pickle/zip_archive.h"

#include <zip.h>

#include "core/error.h"
#include "launcher/weights/pickle/text.h"

namespace tessera::pickle {
namespace {

constexpr uint64_t kEntryBytes = 46;  // of the directory, for an entry without a name

std::string text_of(zip_error_t& error) {
  std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  return text;
}

}  // namespace

struct ZipArchive::Archive {
  zip_t* zip = nullptr;
  ~Archive() {
    if (zip != nullptr) zip_discard(zip);
  }
};

ZipArchive::ZipArchive(std::string_view bytes, std::string file)
    : archive_(std::make_unique<Archive>()), file_(std::move(file)) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  if (source != nullptr) archive_->zip = zip_open_from_source(source, ZIP_RDONLY, &error);
  if (archive_->zip == nullptr) {
    if (source != nullptr) zip_source_free(source);
    throw DataError(file_ +
                    ": expected a whole zip file as torch.save writes it, got one that is "
                    "damaged or cut short (" +
                    text_of(error) + ").");
  }
  zip_error_fini(&error);
  const auto count = static_cast<uint64_t>(zip_get_num_entries(archive_->zip, 0));
  uint64_t total = count * kEntryBytes;
  for (uint64_t i = 0; i < count; ++i) {
    zip_stat_t entry;
    if (zip_stat_index(archive_->zip, i, ZIP_FL_ENC_RAW, &entry) != 0)
      throw DataError(file_ + ": expected to read the zip file's directory, got '" +
                      zip_strerror(archive_->zip) + "'.");
    const std::string where = file_ + ": zip entry " + quote(entry.name) + ": ";
    // Entries do not overlap in a sound file, so together they fit into it.
    if (entry.comp_size > bytes.size() || (total += entry.comp_size) > bytes.size())
      throw DataError(where + "expected entries that together fit into the file's " +
                      std::to_string(bytes.size()) +
                      " bytes, got more. The file is damaged or "
                      "harmful.");
    const bool is_stored = entry.comp_method == ZIP_CM_STORE &&
                           entry.encryption_method == ZIP_EM_NONE && entry.size == entry.comp_size;
    if (!entries_.emplace(entry.name, Entry{i, entry.size, is_stored}).second)
      throw DataError(where + "expected a name of its own, got one that is taken.");
  }
}

ZipArchive::~ZipArchive() = default;

const ZipArchive::Entry* ZipArchive::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

void ZipArchive::read(const std::string& name, const Entry& entry, void* to) const {
  if (!entry.is_stored)
    throw DataError(file_ + ": zip entry " + quote(name) +
                    ": expected an entry that is stored as it is, as torch.save does, got one that "
                    "is compressed or encrypted.");
  zip_file_t* stream = zip_fopen_index(archive_->zip, entry.index, 0);
  std::string problem;
  if (stream == nullptr) {
    problem = zip_strerror(archive_->zip);
  } else {
    // libzip compares the checksum when it meets the end of the entry.
    char beyond;
    const bool is_whole =
        zip_fread(stream, to, entry.size) == static_cast<zip_int64_t>(entry.size) &&
        zip_fread(stream, &beyond, 1) == 0;
    if (!is_whole) problem = zip_error_strerror(zip_file_get_error(stream));
    zip_fclose(stream);
  }
  if (!problem.empty())
    throw DataError(file_ + ": zip entry " + quote(name) + ": expected to read its " +
                    std::to_string(entry.size) + " bytes, got '" + problem +
                    "'. The file is damaged.");
}

std::string ZipArchive::read(const std::string& name, const Entry& entry) const {
  std::string bytes(entry.is_stored ? entry.size : 0, '\0');
  read(name, entry, bytes.data());
  return bytes;
}

}  // namespace tessera::pickle
