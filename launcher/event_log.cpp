#include "launcher/event_log.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "core/error.h"
#include "launcher/distributed/world.h"
#include "launcher/rank_file.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLevelNames[] = {"info", "warning", "error"};

/// "2026-01-31T09:30:00.125Z".
std::string utc_now() {
  using namespace std::chrono;
  const auto now = system_clock::now();
  const std::time_t seconds = system_clock::to_time_t(now);
  const auto milliseconds =
      duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char date[32], text[48];
  std::strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text, sizeof(text), "%s.%03dZ", date, static_cast<int>(milliseconds));
  return text;
}

[[noreturn]] void cannot_log(const fs::path& file, const std::string& reason) {
  throw RuntimeError(file.string() + ": expected a file that can be written, got '" + reason +
                     "'. Check the disk and the permissions, or leave out --log-json.");
}

/// Whether the process before was killed within its last line.
bool is_cut_short(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary | std::ios::ate);
  if (!stream || stream.tellg() == std::streampos(0)) return false;
  stream.seekg(-1, std::ios::end);
  return stream.get() != '\n';
}

}  // namespace

void EventLog::open(const fs::path& stem, const World& world, const std::string& command,
                    const Fields& more) {
  {
    const std::lock_guard lock(mutex_);
    file_ = rank_file(stem, world.rank());
    rank_ = world.rank();
    host_ = world.host();
    opened_ = std::chrono::steady_clock::now();
    std::error_code error;
    if (file_.has_parent_path()) fs::create_directories(file_.parent_path(), error);
    if (error) cannot_log(file_, error.message());
    const bool cut_short = is_cut_short(file_);
    stream_.open(file_, std::ios::binary | std::ios::app);
    if (cut_short) stream_ << '\n';
    if (!stream_) cannot_log(file_, std::strerror(errno));
  }
  Fields fields{{"version", TESSERA_VERSION}, {"ranks", world.size()}, {"process", getpid()}};
  if (!more.empty()) fields.update(more);
  write(Level::info, "start", command, fields);
}

bool EventLog::append(Level level, const char* event, const std::string& message,
                      const Fields& fields) {
  const std::lock_guard lock(mutex_);
  if (!stream_.is_open()) return true;
  Fields line{{"time", utc_now()}, {"rank", rank_},
              {"host", host_},     {"level", kLevelNames[static_cast<size_t>(level)]},
              {"event", event},    {"message", message}};
  if (!fields.empty()) line.update(fields);
  // A file name in a message may be of any bytes.
  stream_ << line.dump(-1, ' ', /*ensure_ascii=*/false, Fields::error_handler_t::replace) + "\n"
          << std::flush;
  return stream_.good();
}

void EventLog::write(Level level, const char* event, const std::string& message,
                     const Fields& fields) {
  if (!append(level, event, message, fields)) cannot_log(file_, std::strerror(errno));
}

void EventLog::tell(std::ostream& out, const char* event, const std::string& message,
                    const Fields& fields) {
  out << message + "\n" << std::flush;  // one piece: mpirun joins the ranks' streams as they come
  write(Level::info, event, message, fields);
}

void EventLog::warn(std::ostream& out, const char* event, const std::string& message) {
  out << message + "\n" << std::flush;
  write(Level::warning, event, message);
}

void EventLog::end(const std::string& error, int exit_code) noexcept {
  try {
    const Fields code{{"exit_code", exit_code}};
    if (!error.empty()) append(Level::error, "error", error, code);
    Fields fields = code;
    fields["seconds"] =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - opened_).count();
    append(error.empty() ? Level::info : Level::error, "end",
           "exit code " + std::to_string(exit_code), fields);
  } catch (const std::exception&) {
    // Standard error has it.
  }
}

}  // namespace tessera
