#include "launcher/data/image_folder.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <string_view>

#include "core/error.h"
#include "launcher/data/natural_order.h"
#include "launcher/data/ytvis.h"

namespace tessera::data {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 8> kImageEndings{".jpg",  ".jpeg", ".png", ".bmp",
                                                        ".webp", ".ppm",  ".tif", ".tiff"};

/// Folders that data sets put between a video's folder and its frames.
constexpr std::array<std::string_view, 6> kFrameFolders{"img1",   "img", "images",
                                                        "frames", "rgb", "JPEGImages"};

bool is_image_name(const fs::path& file) {
  return std::find(kImageEndings.begin(), kImageEndings.end(), lower_ending(file)) !=
         kImageEndings.end();
}

void check_link(const fs::directory_entry& entry) {
  if (entry.is_symlink() && !entry.exists())
    throw DataError(entry.path().string() + ": expected a file or folder, got " +
                    describe_missing(entry.path()) + ". Restore the target or remove the link.");
}

/// What names of one frame have in common: the name without its ending, numbers without leading
/// zeros.
std::string frame_of_name(const fs::path& file) {
  const std::string stem = file.stem().string();
  const auto is_digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  std::string frame;
  for (size_t i = 0; i < stem.size();) {
    if (!is_digit(stem[i])) {
      frame += stem[i++];
      continue;
    }
    size_t end = i;
    while (end < stem.size() && is_digit(stem[end])) ++end;
    while (i + 1 < end && stem[i] == '0') ++i;
    frame.append(stem, i, end - i);
    i = end;
  }
  return frame;
}

std::string with_ending(const std::string& name, const std::string& ending) {
  return fs::path(name).replace_extension(ending).generic_string();
}

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
  auto files = list_folder(folder, [](const fs::directory_entry& entry) {
    if (!is_image_name(entry.path())) return false;
    check_link(entry);
    return entry.is_regular_file();
  });
  std::map<std::string, fs::path> known;
  for (const fs::path& file : files) {
    const auto [other, is_new] = known.emplace(frame_of_name(file), file);
    if (!is_new)
      throw DataError(folder.string() + ": expected one image for each frame, got " +
                      other->second.filename().string() + " and " + file.filename().string() +
                      ". Leave one of them in the folder.");
  }
  return files;
}

std::vector<fs::path> list_folders(const fs::path& folder) {
  return list_folder(folder, [](const fs::directory_entry& entry) {
    if (entry.path().extension().empty()) check_link(entry);
    return entry.is_directory();
  });
}

fs::path frame_folder_of(const fs::path& folder) {
  if (!fs::is_directory(folder) || !list_images(folder).empty()) return folder;
  for (const std::string_view name : kFrameFolders)
    if (fs::is_directory(folder / name) && !list_images(folder / name).empty())
      return folder / name;
  return folder;
}

fs::path find_image(const fs::path& folder, const std::string& name) {
  if (fs::is_regular_file(folder / name)) return folder / name;
  std::vector<std::string> names{name};
  if (name.find('\\') != name.npos) {
    std::string slashed = name;
    std::replace(slashed.begin(), slashed.end(), '\\', '/');
    check_file_name(slashed);
    names.push_back(slashed);
  }
  for (const std::string& one : names) {
    const std::string lower = lower_ending(one);
    std::string upper = lower;
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    for (const std::string& tried : {one, with_ending(one, lower), with_ending(one, upper)})
      if (fs::is_regular_file(folder / tried)) return folder / tried;
  }
  return folder / name;
}

std::string describe_missing(const fs::path& file) {
  std::error_code ignored;
  if (!fs::is_symlink(file, ignored))
    return fs::exists(file, ignored) ? "no regular file" : "no file";
  return "a link to '" + fs::read_symlink(file, ignored).string() + "', which is not there";
}

std::string describe_contents(const fs::path& folder) {
  constexpr int kDepth = 3;
  constexpr size_t kMostFolders = 5;
  constexpr int64_t kMostEntries = 10000;  // the folder may be the root of a disk
  int64_t visited = 0;
  std::vector<std::string> folders;
  std::map<std::string, int64_t> endings;
  const std::function<void(const fs::path&, int)> look = [&](const fs::path& at, int depth) {
    int64_t images = 0;
    std::vector<fs::path> children;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(at, ignored)) {
      if (++visited > kMostEntries) return;
      if (entry.is_directory(ignored)) children.push_back(entry.path());
      if (!entry.is_regular_file(ignored)) continue;
      images += is_image_name(entry.path());
      ++endings[lower_ending(entry.path())];
    }
    if (images > 0)
      folders.push_back(at.lexically_relative(folder).string() + " (" + std::to_string(images) +
                        " images)");
    std::sort(children.begin(), children.end());
    for (const fs::path& child : children)
      if (depth > 0 && folders.size() <= kMostFolders) look(child, depth - 1);
  };
  look(folder, kDepth);
  if (!folders.empty()) {
    const bool has_more = folders.size() > kMostFolders;
    if (has_more) folders.resize(kMostFolders);
    return " There are images in " + join(folders) + (has_more ? ", .." : "") +
           ": give a folder that holds the frames, or the folders of frames.";
  }
  if (endings.empty()) return " The folder is empty.";
  std::vector<std::string> kinds;
  for (const auto& [ending, count] : endings)
    kinds.push_back(std::to_string(count) + " " +
                    (ending.empty() ? "without an ending" : "that end in " + ending));
  return " The files in it: " + join(kinds) + ". Give a video file by its name.";
}

void check_is_folder(const fs::path& folder, const std::string& what) {
  if (fs::is_directory(folder)) return;
  throw DataError(folder.string() + ": expected a folder of " + what + ", got " +
                  (fs::exists(folder) ? "a file" : "nothing there") + ". Check the path.");
}

}  // namespace tessera::data
