#include "launcher/data/json_reader.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <vector>

namespace tessera::data {
namespace {

constexpr size_t kMaxQuotedBytes = 40;
constexpr size_t kMaxListedKeys = 12;

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
  try {
    return Json::parse(stream, callback);
  } catch (const Json::parse_error& error) {
    throw DataError(file.string() + ": " + progress() + ": expected JSON, got an error at byte " +
                    std::to_string(error.byte) + ", " + parser_message(error) +
                    ". NaN and Infinity are not JSON; a file that ends too early was cut off.");
  } catch (const Json::exception& error) {
    throw DataError(file.string() + ": " + progress() +
                    ": expected JSON with finite numbers, got " + parser_message(error) + ".");
  }
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
  if (!value.is_number_integer() || (value != 0 && value != 1)) fail(what, "0 or 1", value);
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

}  // namespace tessera::data
