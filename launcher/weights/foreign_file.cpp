#include "launcher/weights/foreign_file.h"

#include <algorithm>
#include <cctype>

namespace tessera {
namespace {

struct Kind {
  std::string_view magic;
  std::string_view what;  // with the next step
  size_t at = 0;          // bytes before the magic
};

constexpr std::string_view kUnpack = ". Unpack it, and give the weight file that is in it.";

constexpr Kind kKinds[] = {
    {"version https://git-lfs.github.com/spec/",
     "a Git LFS pointer, a few lines of text in place of the file. Run 'git lfs pull' in its "
     "repository, or download the file itself."},
    {"\x1f\x8b", "a gzip file"},
    {"BZh", "a bzip2 file"},
    {std::string_view("\xfd"
                      "7zXZ\0",
                      6),
     "an xz file"},
    {"\x28\xb5\x2f\xfd", "a zstd file"},
    {"7z\xbc\xaf\x27\x1c", "a 7z archive"},
    {"Rar!", "a RAR archive"},
    {"ustar", "a tar archive (PyTorch before 0.1.10 wrote these, too)", 257},
    {"\x89HDF\r\n\x1a\n",
     "an HDF5 file, as Keras writes them. Save the weights as safetensors with the library that "
     "wrote it."},
    {"GGUF", "a GGUF file of a language model."},
    {"%PDF", "a PDF document."},
    {"\x89PNG", "a PNG image."},
};

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

/// A page that a server sent in place of the file.
std::string page(std::string_view beginning) {
  if (beginning.starts_with("\xef\xbb\xbf")) beginning.remove_prefix(3);  // byte order mark
  while (!beginning.empty() && std::isspace(static_cast<unsigned char>(beginning.front())))
    beginning.remove_prefix(1);
  const std::string text = lower_case(beginning);
  const std::string_view advice =
      ", which a server sent in place of the file. Open the link in a browser, and download the "
      "file itself.";
  const auto begins_with = [&](std::string_view tag) { return text.starts_with(tag); };
  if (begins_with("<!doctype html") || begins_with("<html") || begins_with("<head") ||
      begins_with("<body") || (begins_with("<!--") && text.find("<html") != std::string::npos))
    return "an HTML page" + std::string(advice);
  if (begins_with("<?xml") || begins_with("<error")) return "an XML page" + std::string(advice);
  if (begins_with("{\"") || begins_with("{ \"") || begins_with("{\n") || begins_with("{\r"))
    return "a JSON text. Give a weight file; annotations and configurations are none.";
  return "";
}

}  // namespace

std::string foreign_file(std::string_view beginning) {
  if (beginning.empty()) return "an empty file. It is cut short; download or copy it again.";
  for (const Kind& kind : kKinds) {
    if (beginning.size() <= kind.at || !beginning.substr(kind.at).starts_with(kind.magic)) continue;
    std::string text(kind.what);
    if (!text.ends_with('.')) text += kUnpack;
    return text;
  }
  return page(beginning);
}

}  // namespace tessera
