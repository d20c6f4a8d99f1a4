#include "launcher/data/image_folder.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "core/error.h"
#include "launcher/data/natural_order.h"

namespace tessera::data {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 8> kImageEndings{".jpg",  ".jpeg", ".png", ".bmp",
                                                        ".webp", ".ppm",  ".tif", ".tiff"};

}  // namespace

std::string lower_ending(const fs::path& file) {
  std::string ending = file.extension().string();
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return ending;
}

std::vector<std::string> image_endings() {
  return {kImageEndings.begin(), kImageEndings.end()};
}

std::vector<fs::path> list_folder(const fs::path& folder,
                                  const std::function<bool(const fs::directory_entry&)>& wanted) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const bool hidden = entry.path().filename().string().starts_with('.');
    if (!hidden && wanted(entry)) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end(), [](const fs::path& a, const fs::path& b) {
    return natural_less(a.filename().string(), b.filename().string());
  });
  return found;
}

std::vector<fs::path> list_images(const fs::path& folder) {
  return list_folder(folder, [](const fs::directory_entry& entry) {
    return entry.is_regular_file() && std::find(kImageEndings.begin(), kImageEndings.end(),
                                                lower_ending(entry.path())) != kImageEndings.end();
  });
}

std::vector<fs::path> list_folders(const fs::path& folder) {
  return list_folder(folder, [](const fs::directory_entry& entry) { return entry.is_directory(); });
}

void check_is_folder(const fs::path& folder, const std::string& what) {
  if (fs::is_directory(folder)) return;
  throw DataError(folder.string() + ": expected a folder of " + what + ", got " +
                  (fs::exists(folder) ? "a file" : "nothing there") + ". Check the path.");
}

}  // namespace tessera::data
