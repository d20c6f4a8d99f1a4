#pragma once

#include <functional>
#include <string>
#include <vector>

namespace tessera::preflight {

/// How much a finding matters: `problem` would end a training or an inference later, or make its
/// scores wrong; `warning` is allowed, but seldom meant.
enum class Level { ok, warning, problem };

/// What one check found.
struct Finding {
  Level level = Level::ok;
  std::string check;    // "weights"
  std::string message;  // one or more sentences
};

/// "ok", "warning" or "PROBLEM".
const char* level_name(Level level);

/// Findings in the order of the checks.
class Findings {
 public:
  void ok(const std::string& check, const std::string& message) { add(Level::ok, check, message); }
  void warn(const std::string& check, const std::string& message) {
    add(Level::warning, check, message);
  }
  void problem(const std::string& check, const std::string& message) {
    add(Level::problem, check, message);
  }
  /// Runs a check that states what it found as one sentence (empty: nothing to report); an error is
  /// a problem. out: whether there was no error.
  bool attempt(const std::string& check, const std::function<std::string()>& body);

  const std::vector<Finding>& list() const { return list_; }
  int count(Level level) const;

 private:
  void add(Level level, const std::string& check, const std::string& message) {
    list_.push_back({level, check, message});
  }
  std::vector<Finding> list_;
};

/// The findings of one experiment as a table for a person; `where` is its file.
std::string findings_table(const std::string& where, const Findings& findings);

}  // namespace tessera::preflight
