// The header of a weight file: "<bytes of data that follow it>\n<JSON>".

#include "launcher/weights/safetensors_header.h"

#include <charconv>

#include "core/error.h"
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace tessera;
  std::string_view text = fuzz::text_of(bytes, size);
  uint64_t data_bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), data_bytes);
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (!text.empty() && text[0] == '\n') text.remove_prefix(1);
  SafetensorsHeader header;
  try {
    header = safetensors_detail::parse_header(std::string(text), data_bytes, "file");
  } catch (const DataError&) {
    return 0;
  }
  uint64_t covered = 0;
  for (const TensorEntry& entry : header.entries) {
    fuzz::expect(entry.begin <= entry.end && entry.end <= data_bytes,
                 "a tensor lies within the file's data");
    covered += entry.end - entry.begin;
  }
  fuzz::expect(covered == data_bytes, "the tensors cover the data exactly");
  // A header that was accepted is one that we would write.
  const SafetensorsHeader again = safetensors_detail::parse_header(
      safetensors_detail::header_text(header), data_bytes, "written file");
  fuzz::expect(again.entries.size() == header.entries.size() && again.metadata == header.metadata,
               "what is written reads as the same");
  return 0;
}
