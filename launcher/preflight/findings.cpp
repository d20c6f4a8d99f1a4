#include "launcher/preflight/findings.h"

#include <algorithm>
#include <exception>
#include <iomanip>
#include <sstream>

namespace tessera::preflight {
namespace {

constexpr int kLevelWidth = 9, kCheckWidth = 14;

std::string counted(int count, const std::string& name) {
  return std::to_string(count) + " " + name + (count == 1 ? "" : "s");
}

}  // namespace

const char* level_name(Level level) {
  switch (level) {
    case Level::ok:
      return "ok";
    case Level::warning:
      return "warning";
    case Level::problem:
      return "PROBLEM";
  }
  return "";
}

bool Findings::attempt(const std::string& check, const std::function<std::string()>& body) {
  try {
    const std::string message = body();
    if (!message.empty()) ok(check, message);
    return true;
  } catch (const std::exception& error) {
    problem(check, error.what());
    return false;
  }
}

int Findings::count(Level level) const {
  return static_cast<int>(std::count_if(list_.begin(), list_.end(),
                                        [&](const Finding& one) { return one.level == level; }));
}

std::string findings_table(const std::string& where, const Findings& findings) {
  std::ostringstream out;
  out << where << '\n';
  for (const Finding& finding : findings.list()) {
    std::istringstream lines(finding.message);
    std::string line;
    std::getline(lines, line);
    out << "  " << std::left << std::setw(kLevelWidth) << level_name(finding.level)
        << std::setw(kCheckWidth) << finding.check << line << '\n';
    while (std::getline(lines, line))
      out << std::string(2 + kLevelWidth + kCheckWidth, ' ') << line << '\n';
  }
  out << "  " << counted(findings.count(Level::problem), "problem") << ", "
      << counted(findings.count(Level::warning), "warning") << '\n';
  return out.str();
}

}  // namespace tessera::preflight
