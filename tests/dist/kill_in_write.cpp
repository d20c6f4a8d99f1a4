// kill_in_write PROCESS FOLDER EVENTS: kills the process (SIGKILL) inside the write of a
// checkpoint. Waits until a temporary file of a checkpoint appears in the folder, then for so many
// more changes of it, but no longer than until it has its final name. Prints "in write", or "after
// write" where it was too late. Ends with 1 where the process ends by itself.
//
// A program of its own, and without LibTorch: a shell that looks for the file comes too late.
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

bool has_temporary(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (entry.path().filename().string().find(".tmp-") != std::string::npos) return true;
  return false;
}

/// A killed process is a zombie until its parent has asked for it.
bool runs(pid_t process) {
  std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  if (!std::getline(stat, text)) return false;
  const size_t name_end = text.rfind(')');
  return name_end + 2 < text.size() && text[name_end + 2] != 'Z' && text[name_end + 2] != 'X';
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    std::fprintf(stderr, "usage: kill_in_write PROCESS FOLDER EVENTS\n");
    return 2;
  }
  const auto process = static_cast<pid_t>(std::atol(arguments[1]));
  const std::string folder = arguments[2];
  long events_left = std::atol(arguments[3]);
  const int queue = inotify_init1(IN_CLOEXEC);
  if (queue < 0 ||
      inotify_add_watch(queue, arguments[2], IN_CREATE | IN_MODIFY | IN_MOVED_FROM) < 0) {
    std::perror("kill_in_write: inotify");
    return 2;
  }
  bool writing = false;
  while (true) {
    pollfd ready{queue, POLLIN, 0};
    if (poll(&ready, 1, 200) == 0) {
      if (kill(process, 0) != 0) return 1;
      continue;
    }
    alignas(inotify_event) char buffer[4096];
    const ssize_t size = read(queue, buffer, sizeof(buffer));
    for (const char* at = buffer; at < buffer + size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof(inotify_event) + event->len;
      const std::string name = event->len > 0 ? event->name : "";
      if (!name.starts_with("checkpoint-") || name.find(".tmp-") == std::string::npos) continue;
      if (event->mask & IN_CREATE) writing = true;
      if (!writing) continue;
      if (events_left-- > 0 && !(event->mask & IN_MOVED_FROM)) continue;
      if (kill(process, SIGKILL) != 0) return 1;
      while (runs(process)) usleep(1000);
      std::puts(has_temporary(folder) ? "in write" : "after write");
      return 0;
    }
  }
}
