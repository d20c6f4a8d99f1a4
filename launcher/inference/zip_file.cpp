#include "launcher/inference/zip_file.h"

#include <zip.h>

#include <memory>

#include "core/error.h"

namespace tessera {
namespace {

[[noreturn]] void fail_zip(const std::filesystem::path& archive, const std::string& reason) {
  throw RuntimeError(archive.string() + ": expected to write the archive, got '" + reason + "'.");
}

std::string zip_error_text(int code) {
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  const std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  return text;
}

}  // namespace

void write_zip(const std::filesystem::path& archive, const std::filesystem::path& source,
               const std::string& name) {
  int code = 0;
  // The library writes beside the archive and renames.
  std::unique_ptr<zip_t, decltype(&zip_discard)> zip(
      zip_open(archive.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code), &zip_discard);
  if (!zip) fail_zip(archive, zip_error_text(code));
  zip_source_t* const file = zip_source_file(zip.get(), source.c_str(), 0, -1);
  if (file == nullptr) fail_zip(archive, zip_strerror(zip.get()));
  if (zip_file_add(zip.get(), name.c_str(), file, ZIP_FL_ENC_UTF_8) < 0) {
    zip_source_free(file);
    fail_zip(archive, zip_strerror(zip.get()));
  }
  if (zip_close(zip.get()) != 0) fail_zip(archive, zip_strerror(zip.get()));
  (void)zip.release();  // closing has freed it
}

}  // namespace tessera
