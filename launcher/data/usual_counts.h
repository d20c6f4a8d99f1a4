#pragma once
// The quick way through the compressed strings that files are full of.

#include <cstdint>
#include <string_view>
#include <vector>

namespace tessera::data {

/// Decodes a COCO compressed RLE string eight characters at a time.
///
/// runs: receives the run lengths; its old contents are lost.
/// Returns false where the string is not such a string, a run is negative, a number has more than
/// four characters outside the first run and the last seven characters' numbers, or the processor
/// has no AVX2: decode_counts then goes through it number by number and words the error, if any.
/// The runs' sum is the caller's to check.
bool decode_usual_counts(std::string_view counts, std::vector<uint32_t>& runs);

}  // namespace tessera::data
