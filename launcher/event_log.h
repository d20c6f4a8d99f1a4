#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

namespace tessera {

class World;

/// What a process does, for programs that read logs: one JSON object a line,
/// {"time": ISO 8601 in UTC, "rank", "host", "level": info|warning|error, "event", "message": what
/// a person is told, ...: the numbers of the event, NaN as null}. Says nothing until it is opened.
/// May be used by several threads.
class EventLog {
 public:
  using Fields = nlohmann::ordered_json;
  enum class Level { info, warning, error };

  /// Appends to `rank_file(stem, rank)`, whose folder is made where it is missing, and writes the
  /// event "start". in: command as a person would type it; further fields of that event.
  /// Throws RuntimeError.
  void open(const std::filesystem::path& stem, const World& world, const std::string& command,
            const Fields& more);

  /// in: an object, or null for none. Throws RuntimeError where it cannot be written.
  void write(Level level, const char* event, const std::string& message,
             const Fields& fields = Fields::object());
  /// The same of level info, and the message as a line on `out`.
  void tell(std::ostream& out, const char* event, const std::string& message,
            const Fields& fields = Fields::object());
  /// The same as a warning.
  void warn(std::ostream& out, const char* event, const std::string& message);

  /// The last words of a process: why it failed (empty: it did not), and the event "end" with the
  /// exit code. Does not throw, as there is nobody left to tell.
  void end(const std::string& error, int exit_code) noexcept;

 private:
  /// out: whether it could be written.
  bool append(Level level, const char* event, const std::string& message, const Fields& fields);

  std::mutex mutex_;
  std::filesystem::path file_;
  std::ofstream stream_;
  int64_t rank_ = 0;
  std::string host_;
  std::chrono::steady_clock::time_point opened_;
};

}  // namespace tessera
