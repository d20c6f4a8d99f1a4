#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace tessera {

/// A rank's own file of lines: "<stem>.jsonl" of rank 0, "<stem>-<rank>.jsonl" of another.
inline std::filesystem::path rank_file(const std::filesystem::path& stem, int64_t rank) {
  return stem.string() + (rank == 0 ? "" : "-" + std::to_string(rank)) + ".jsonl";
}

}  // namespace tessera
