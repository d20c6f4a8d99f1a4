#include "launcher/weights/safetensors.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <numeric>
#include <set>

#include "core/error.h"
#include "launcher/weights/atomic_file.h"
#include "launcher/weights/foreign_file.h"
#include "launcher/weights/safetensors_header.h"

namespace tessera {
namespace {

// The format stores little-endian numbers; tensors are read and written as they lie in memory.
static_assert(std::endian::native == std::endian::little);

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kLargestHeader = 100'000'000;  // the reference implementation's limit

class Reader {
 public:
  explicit Reader(const std::filesystem::path& file) : name_(file.string()) {
    std::error_code error;
    if (std::filesystem::is_directory(file, error))
      throw DataError(name_ + ": expected a safetensors file, got a folder.");
    stream_.open(file, std::ios::binary);
    if (!stream_)
      throw DataError(name_ + ": expected a file that can be read, got '" + std::strerror(errno) +
                      "'.");
    stream_.seekg(0, std::ios::end);
    const std::streamoff size = stream_.tellg();
    if (size < 0) throw DataError(name_ + ": expected a regular file, got another kind.");
    size_ = static_cast<uint64_t>(size);
    stream_.seekg(0);
  }

  SafetensorsHeader header() {
    refuse_foreign_file();
    if (size_ < kLengthBytes)
      throw DataError(name_ + ": expected at least " + std::to_string(kLengthBytes) +
                      " bytes, got " + std::to_string(size_) + ". The file is cut short.");
    uint64_t length = 0;
    read(&length, kLengthBytes);
    if (length > kLargestHeader || length > size_ - kLengthBytes) {
      const char* magic = reinterpret_cast<const char*>(&length);
      const bool pickle = std::string_view(magic, 2) == "PK" || magic[0] == '\x80';
      throw DataError(
          name_ + ": expected a header within the file's " + std::to_string(size_) +
          " bytes (at most " + std::to_string(kLargestHeader) + "), got a length of " +
          std::to_string(length) + ". The file is cut short, damaged or " +
          (pickle ? "a PyTorch file, not a safetensors file." : "no safetensors file."));
    }
    std::string text(length, '\0');
    read(text.data(), length);
    const uint64_t data_offset = kLengthBytes + length;
    SafetensorsHeader header = safetensors_detail::parse_header(text, size_ - data_offset, name_);
    header.data_offset = data_offset;
    return header;
  }

  at::Tensor tensor(const TensorEntry& entry, uint64_t data_offset) {
    at::Tensor tensor = at::empty(entry.shape, at::TensorOptions(entry.type));
    stream_.seekg(static_cast<std::streamoff>(data_offset + entry.begin));
    read(tensor.data_ptr(), entry.end - entry.begin);
    if (entry.type == at::kBool) {
      const auto* bytes = static_cast<const uint8_t*>(tensor.data_ptr());
      if (std::any_of(bytes, bytes + tensor.numel(), [](uint8_t byte) { return byte > 1; }))
        throw DataError(name_ + ": tensor '" + entry.name +
                        "': expected BOOL bytes of 0 or 1, got others. The file is damaged.");
    }
    return tensor;
  }

 private:
  /// Names what is often downloaded in place of a weight file. A header's length of 8 bytes and the
  /// '{' after it begin none of those.
  void refuse_foreign_file() {
    std::string beginning(std::min<uint64_t>(size_, kForeignFileBytes), '\0');
    read(beginning.data(), beginning.size());
    stream_.seekg(0);
    if (beginning.size() > kLengthBytes && beginning[kLengthBytes] == '{' &&
        beginning[kLengthBytes - 1] == '\0')
      return;
    if (const std::string kind = foreign_file(beginning); !kind.empty())
      throw DataError(name_ + ": expected a weight file, got " + kind);
  }

  void read(void* to, uint64_t size) {
    stream_.read(static_cast<char*>(to), static_cast<std::streamsize>(size));
    if (!stream_)
      throw DataError(name_ + ": expected to read " + std::to_string(size) +
                      " bytes, got a read error or the end of the file.");
  }

  std::string name_;
  std::ifstream stream_;
  uint64_t size_ = 0;
};

}  // namespace

const at::Tensor* SafetensorsFile::find(std::string_view name) const {
  for (const auto& [key, tensor] : tensors)
    if (key == name) return &tensor;
  return nullptr;
}

SafetensorsHeader read_safetensors_header(const std::filesystem::path& file) {
  return Reader(file).header();
}

SafetensorsFile read_safetensors(const std::filesystem::path& file, bool with_unsupported) {
  Reader reader(file);
  SafetensorsHeader header = reader.header();
  SafetensorsFile result;
  for (const auto& entry : header.entries) {
    if (entry.unsupported.empty()) {
      result.tensors.emplace_back(entry.name, reader.tensor(entry, header.data_offset));
      continue;
    }
    if (!with_unsupported)
      throw DataError(file.string() + ": tensor '" + entry.name + "': expected a dtype among " +
                      safetensors_detail::known_types() + ", got \"" + entry.unsupported + "\".");
    result.unsupported.emplace_back(entry.name, "a tensor of " + entry.unsupported);
  }
  result.metadata = std::move(header.metadata);
  return result;
}

void write_safetensors(const std::filesystem::path& file, const TensorList& tensors,
                       const TensorMetadata& metadata) {
  SafetensorsHeader header;
  header.metadata = metadata;
  std::set<std::string> names{"__metadata__"};
  for (const auto& [name, tensor] : tensors) {
    const std::string where = file.string() + ": tensor '" + name + "': ";
    if (!names.insert(name).second)
      throw RuntimeError(where + "expected a name of its own, got one that is taken.");
    if (!tensor.defined()) throw RuntimeError(where + "expected a tensor, got an undefined one.");
    if (!safetensors_detail::type_name(tensor.scalar_type()))
      throw RuntimeError(where + "expected a type that safetensors has, got " +
                         c10::toString(tensor.scalar_type()) + ".");
    header.entries.push_back({name, tensor.scalar_type(), "", tensor.sizes().vec(), 0, 0});
  }
  // Wide types first, so that every tensor is aligned and readers may map the file.
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return tensors[a].second.element_size() > tensors[b].second.element_size();
  });
  uint64_t offset = 0;
  for (size_t i : order) {
    header.entries[i].begin = offset;
    header.entries[i].end = offset += tensors[i].second.nbytes();
  }
  const std::string text = safetensors_detail::header_text(header);
  const uint64_t length = text.size();
  AtomicFile out(file);
  out.write(&length, kLengthBytes);
  out.write(text);
  for (size_t i : order) {
    const at::Tensor values = tensors[i].second.detach().to(at::kCPU).contiguous();
    out.write(values.data_ptr(), values.nbytes());
  }
  out.commit();
}

}  // namespace tessera
