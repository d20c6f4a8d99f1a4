#include "launcher/inference/zip_file.h"

#include <zip.h>

#include <memory>
#include <vector>

#include "core/error.h"
#include "launcher/weights/atomic_file.h"

namespace tessera {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 16;

[[noreturn]] void fail_zip(const std::filesystem::path& archive, const std::string& reason) {
  throw RuntimeError(archive.string() + ": expected to write the archive, got '" + reason + "'.");
}

}  // namespace

void write_zip(const std::filesystem::path& archive, const std::filesystem::path& source,
               const std::string& name) {
  // In memory first: the library can only write to a file whose folder it may use, which a FIFO or
  // a device has not.
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* const packed = zip_source_buffer_create(nullptr, 0, /*freep=*/0, &error);
  if (packed == nullptr) fail_zip(archive, zip_error_strerror(&error));
  const std::unique_ptr<zip_source_t, decltype(&zip_source_free)> packed_owner(packed,
                                                                               &zip_source_free);
  std::unique_ptr<zip_t, decltype(&zip_discard)> zip(
      zip_open_from_source(packed, ZIP_TRUNCATE, &error), &zip_discard);
  if (!zip) fail_zip(archive, zip_error_strerror(&error));
  zip_source_keep(packed);  // closing the archive frees it once
  zip_source_t* const file = zip_source_file(zip.get(), source.c_str(), 0, -1);
  if (file == nullptr) fail_zip(archive, zip_strerror(zip.get()));
  if (zip_file_add(zip.get(), name.c_str(), file, ZIP_FL_ENC_UTF_8) < 0) {
    zip_source_free(file);
    fail_zip(archive, zip_strerror(zip.get()));
  }
  if (zip_close(zip.get()) != 0) fail_zip(archive, zip_strerror(zip.get()));
  (void)zip.release();  // closing has freed it
  AtomicFile out(archive);
  if (zip_source_open(packed) != 0) fail_zip(archive, zip_error_strerror(zip_source_error(packed)));
  std::vector<char> bytes(kBufferBytes);
  zip_int64_t count = 0;
  while ((count = zip_source_read(packed, bytes.data(), bytes.size())) > 0)
    out.write(bytes.data(), static_cast<size_t>(count));
  if (count < 0) fail_zip(archive, zip_error_strerror(zip_source_error(packed)));
  zip_source_close(packed);
  out.commit();
}

}  // namespace tessera
