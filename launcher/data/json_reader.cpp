#include "launcher/data/json_reader.h"

#include <cctype>
#include <cmath>
#include <fstream>
#include <limits>
#include <vector>

namespace tessera::data {
namespace {

constexpr size_t kMaxQuotedBytes = 40;
constexpr size_t kMaxListedKeys = 12;
constexpr size_t kHeadBytes = 64;

[[noreturn]] void fail(const std::string& what, const std::string& expected, const Json& got) {
  throw DataError(what + ": expected " + expected + ", got " + describe(got) + ".");
}

std::string quoted(const std::string& text) {
  if (text.size() <= kMaxQuotedBytes) return '"' + text + '"';
  size_t end = kMaxQuotedBytes;
  // Do not cut a UTF-8 character in two.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return '"' + text.substr(0, end) + "..\" (" + std::to_string(text.size()) + " bytes)";
}

/// The library's message without its own prefix: "line 3, column 5: syntax error .. last read: ..".
std::string parser_message(const nlohmann::json::exception& error) {
  const std::string text = error.what();
  for (const char* mark : {"parse error at ", "] "}) {
    const size_t start = text.find(mark);
    if (start != std::string::npos) return text.substr(start + std::string(mark).size());
  }
  return text;
}

template <class Input>
Json parse_json(const std::string& name, Input&& input, const Json::parser_callback_t& callback,
                const std::function<std::string()>& progress) {
  try {
    return Json::parse(std::forward<Input>(input), callback);
  } catch (const Json::parse_error& error) {
    throw DataError(name + ": " + progress() + ": expected JSON, got an error at byte " +
                    std::to_string(error.byte) + ", " + parser_message(error) +
                    ". NaN and Infinity are not JSON; a file that ends too early was cut off.");
  } catch (const Json::exception& error) {
    throw DataError(name + ": " + progress() + ": expected JSON with finite numbers, got " +
                    parser_message(error) + ".");
  }
}

}  // namespace

Json parse_json_file(const std::filesystem::path& file, const Json::parser_callback_t& callback,
                     const std::function<std::string()>& progress) {
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) {
    throw DataError(file.string() + ": expected a JSON file, got a folder.");
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    throw DataError(
        file.string() + ": expected a readable JSON file, got " +
        (std::filesystem::exists(file, ignored) ? "one that cannot be opened" : "no such file") +
        ". Check the path.");
  }
  std::string head(kHeadBytes, '\0');
  stream.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(stream.gcount()));
  if (const std::string kind = describe_foreign_file(head); !kind.empty())
    throw DataError(file.string() + ": expected a JSON file, got " + kind + ".");
  stream.clear();
  stream.seekg(0);
  return parse_json(file.string(), stream, callback, progress);
}

Json parse_json_text(const std::string& name, std::string_view text,
                     const Json::parser_callback_t& callback,
                     const std::function<std::string()>& progress) {
  return parse_json(name, text, callback, progress);
}

std::string describe_foreign_file(std::string_view bytes) {
  using namespace std::string_view_literals;
  constexpr std::pair<std::string_view, std::string_view> kStarts[] = {
      {"version https://git-lfs"sv,
       "a Git LFS pointer, which `git lfs pull` replaces by the file itself"sv},
      {"\x1f\x8b"sv, "a gzip file: unpack it"sv},
      {"PK\x03\x04"sv, "a zip archive: unpack it"sv},
      {"\xff\xfe"sv, "text in UTF-16: save it as UTF-8"sv},
      {"\xfe\xff"sv, "text in UTF-16: save it as UTF-8"sv},
  };
  for (const auto& [start, kind] : kStarts)
    if (bytes.starts_with(start)) return std::string(kind);
  const size_t first = bytes.find_first_not_of(" \t\r\n");
  std::string word(first == bytes.npos ? "" : bytes.substr(first, 9));
  for (char& c : word) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (word.starts_with("<!doctype") || word.starts_with("<html"))
    return "an HTML page, as a download that needs a login gives it";
  return "";
}

std::string describe(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::boolean:
      return value.get<bool>() ? "true" : "false";
    case Json::value_t::string:
      return "the string " + quoted(value.get_ref<const std::string&>());
    case Json::value_t::array:
      return "a list of " + std::to_string(value.size());
    case Json::value_t::object:
      return "an object";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
    case Json::value_t::number_float:
      return value.dump();
    default:
      return "nothing";
  }
}

const Json& as_object(const Json& value, const std::string& what) {
  if (!value.is_object()) fail(what, "an object", value);
  return value;
}

const Json& as_list(const Json& value, const std::string& what) {
  if (!value.is_array()) fail(what, "a list", value);
  return value;
}

const std::string& as_text(const Json& value, const std::string& what) {
  if (!value.is_string()) fail(what, "a string", value);
  return value.get_ref<const std::string&>();
}

int64_t as_integer(const Json& value, const std::string& what) {
  if (value.is_number_float()) {
    // Tables and dynamically typed programs write 1 as 1.0.
    constexpr double kExact = 9007199254740992;  // 2^53: doubles are whole numbers up to there
    const double number = value.get<double>();
    if (std::trunc(number) == number && std::abs(number) <= kExact)
      return static_cast<int64_t>(number);
  }
  if (!value.is_number_integer()) fail(what, "a whole number", value);
  constexpr uint64_t kLargest = std::numeric_limits<int64_t>::max();
  if (value.is_number_unsigned() && value.get<uint64_t>() > kLargest) {
    fail(what, "a whole number of 64 bits", value);
  }
  return value.get<int64_t>();
}

double as_finite_number(const Json& value, const std::string& what) {
  if (!value.is_number() || !std::isfinite(value.get<double>())) {
    fail(what, "a finite number", value);
  }
  return value.get<double>();
}

bool as_flag(const Json& value, const std::string& what) {
  if (value.is_boolean()) return value.get<bool>();
  if (!value.is_number() || (value != 0 && value != 1)) fail(what, "0 or 1", value);
  return value == 1;
}

const Json& value_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found != object.end()) return *found;
  std::vector<std::string> keys;
  for (const auto& item : object.items()) {
    if (keys.size() == kMaxListedKeys) {
      keys.push_back("..");
      break;
    }
    keys.push_back("'" + item.key() + "'");
  }
  throw DataError(std::string("expected a key '") + key + "', got only " + join(keys) + ".");
}

const Json* find_value(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::optional<int64_t> find_integer(const Json& value, const char* key) {
  const Json* const found = value.is_object() ? find_value(value, key) : nullptr;
  if (found == nullptr || !found->is_number()) return std::nullopt;
  try {
    return as_integer(*found, key);
  } catch (const DataError&) {
    return std::nullopt;
  }
}

}  // namespace tessera::data
