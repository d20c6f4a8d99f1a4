#include "launcher/weights/safetensors_header.h"

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"

namespace tessera::safetensors_detail {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kLargestNumber = std::numeric_limits<int64_t>::max();
constexpr size_t kLargestRank = 64;  // of any tensor library that writes these files

constexpr std::array<std::pair<std::string_view, at::ScalarType>, 10> kTypes{{
    {"F64", at::kDouble},
    {"F32", at::kFloat},
    {"F16", at::kHalf},
    {"BF16", at::kBFloat16},
    {"I64", at::kLong},
    {"I32", at::kInt},
    {"I16", at::kShort},
    {"I8", at::kChar},
    {"U8", at::kByte},
    {"BOOL", at::kBool},
}};

/// Types of the format that tensors here do not have.
constexpr std::string_view kOtherTypes[] = {"F4",          "F6_E2M3", "F6_E3M2",     "F8_E4M3",
                                            "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ", "F8_E8M0",
                                            "U16",         "U32",     "U64",         "C64"};

[[noreturn]] void bad_entry(const std::string& file, const std::string& name,
                            const std::string& message) {
  throw DataError(file + ": tensor '" + name + "': " + message);
}

/// Keys of the header and of its tables, in the order of the text: JSON libraries keep one of two
/// equal keys and say nothing.
Json parse_without_duplicates(const std::string& text, const std::string& file) {
  std::vector<std::set<std::string>> open;
  auto watch = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key && !open.back().insert(value.get<std::string>()).second)
      throw DataError(file + ": expected every name once in the header, got '" +
                      value.get<std::string>() + "' twice.");
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const Json::exception& error) {
    throw DataError(file + ": expected a JSON header, got text that is none (" + error.what() +
                    "). The file is damaged or no safetensors file.");
  }
}

uint64_t unsigned_number(const Json& value, const std::string& what, const std::string& file,
                         const std::string& name) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > kLargestNumber)
    bad_entry(file, name,
              "expected " + what + " to be whole numbers from 0, got " +
                  value.dump(-1, ' ', true, Json::error_handler_t::replace) + ".");
  return value.get<uint64_t>();
}

TensorEntry parse_entry(const std::string& name, const Json& value, const std::string& file) {
  TensorEntry entry;
  entry.name = name;
  if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
      !value.contains("shape") || !value.contains("data_offsets"))
    bad_entry(file, name, "expected a table of dtype, shape and data_offsets, got other keys.");
  const Json &type = value["dtype"], &shape = value["shape"], &offsets = value["data_offsets"];
  const auto known = std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& item) {
    return type.is_string() && type.get_ref<const std::string&>() == item.first;
  });
  const bool is_other = known == kTypes.end() && type.is_string() &&
                        std::find(std::begin(kOtherTypes), std::end(kOtherTypes),
                                  type.get<std::string>()) != std::end(kOtherTypes);
  if (is_other) entry.unsupported = type.get<std::string>();
  if (known == kTypes.end() && !is_other)
    bad_entry(file, name,
              "expected a dtype among " + known_types() + ", got " +
                  type.dump(-1, ' ', true, Json::error_handler_t::replace) + ".");
  if (!is_other) entry.type = known->second;
  if (!shape.is_array() || !offsets.is_array() || offsets.size() != 2)
    bad_entry(file, name, "expected a list as shape and two numbers as data_offsets, got others.");
  if (shape.size() > kLargestRank)
    bad_entry(file, name,
              "expected at most " + std::to_string(kLargestRank) + " dimensions, got " +
                  std::to_string(shape.size()) + ".");
  // Empty dimensions count as 1 here, because strides are products of the others.
  uint64_t bytes = is_other ? 1 : c10::elementSize(entry.type);
  bool empty = false;
  for (const Json& size : shape) {
    const uint64_t count = unsigned_number(size, "the sizes of its shape", file, name);
    empty = empty || count == 0;
    if (__builtin_mul_overflow(bytes, std::max<uint64_t>(count, 1), &bytes) ||
        bytes > kLargestNumber)
      bad_entry(file, name, "expected a shape that fits into memory, got " + shape.dump() + ".");
    entry.shape.push_back(static_cast<int64_t>(count));
  }
  if (empty) bytes = 0;
  entry.begin = unsigned_number(offsets[0], "data_offsets", file, name);
  entry.end = unsigned_number(offsets[1], "data_offsets", file, name);
  // Elements of other types may be parts of a byte; check_layout() checks their place all the same.
  if (entry.end < entry.begin || (!is_other && entry.end - entry.begin != bytes))
    bad_entry(file, name,
              "expected data_offsets that span the " + std::to_string(bytes) +
                  " bytes of its shape " + shape.dump() + ", got " + offsets.dump() + ".");
  return entry;
}

/// Offsets must cover the data exactly: no tensor reads another's bytes or outside the file.
void check_layout(const std::vector<TensorEntry>& entries, uint64_t data_bytes,
                  const std::string& file) {
  std::vector<const TensorEntry*> order;
  for (const auto& entry : entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const TensorEntry* a, const TensorEntry* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  uint64_t covered = 0;
  for (const TensorEntry* entry : order) {
    if (entry->end > data_bytes)
      bad_entry(file, entry->name,
                "expected its bytes to end within the file's " + std::to_string(data_bytes) +
                    " bytes of data, got " + std::to_string(entry->end) +
                    ". The file is cut short or damaged.");
    if (entry->begin != covered)
      bad_entry(file, entry->name,
                "expected its bytes to begin at " + std::to_string(covered) + ", got " +
                    std::to_string(entry->begin) +
                    (entry->begin < covered ? ": it overlaps another tensor."
                                            : ": bytes before it belong to no tensor."));
    covered = entry->end;
  }
  if (covered != data_bytes)
    throw DataError(file + ": expected " + std::to_string(covered) +
                    " bytes of data as the header says, got " + std::to_string(data_bytes) +
                    ". The file is damaged.");
}

}  // namespace

std::string known_types() {
  std::vector<std::string> names;
  for (const auto& [name, type] : kTypes) names.emplace_back(name);
  return join(names);
}

std::optional<std::string_view> type_name(at::ScalarType type) {
  for (const auto& [name, known] : kTypes)
    if (known == type) return name;
  return std::nullopt;
}

SafetensorsHeader parse_header(const std::string& text, uint64_t data_bytes,
                               const std::string& file) {
  const Json json = parse_without_duplicates(text, file);
  if (!json.is_object())
    throw DataError(file + ": expected a JSON table as header, got another value.");
  SafetensorsHeader header;
  for (const auto& [name, value] : json.items()) {
    if (name != "__metadata__") {
      header.entries.push_back(parse_entry(name, value, file));
      continue;
    }
    if (!value.is_object())
      throw DataError(file + ": __metadata__: expected a table of strings, got another value.");
    for (const auto& [key, item] : value.items()) {
      if (!item.is_string())
        throw DataError(file + ": __metadata__: expected a string for '" + key +
                        "', got another value.");
      header.metadata[key] = item.get<std::string>();
    }
  }
  check_layout(header.entries, data_bytes, file);
  return header;
}

std::string header_text(const SafetensorsHeader& header) {
  Json json = Json::object();
  if (!header.metadata.empty()) json["__metadata__"] = header.metadata;
  for (const auto& entry : header.entries)
    json[entry.name] = {{"dtype", entry.unsupported.empty() ? std::string(*type_name(entry.type))
                                                            : entry.unsupported},
                        {"shape", entry.shape},
                        {"data_offsets", {entry.begin, entry.end}}};
  std::string text;
  try {
    text = json.dump();
  } catch (const Json::exception& error) {
    throw RuntimeError(std::string("safetensors: expected names and metadata in UTF-8, got other "
                                   "bytes (") +
                       error.what() + ").");
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace tessera::safetensors_detail
