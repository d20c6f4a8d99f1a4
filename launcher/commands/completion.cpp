#include <iostream>
#include <sstream>

#include "launcher/commands/commands.h"

namespace tessera::commands {
namespace {

// The words that may follow a command: subcommands and options.
std::string words_after(const CLI::App& app) {
  std::string words;
  for (const CLI::App* child : app.get_subcommands([](const CLI::App*) { return true; }))
    words += child->get_name() + " ";
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
  if (!words.empty()) words.pop_back();
  return words;
}

// One line of the case: the command's words, then what may follow.
void write_cases(const CLI::App& app, const std::string& path, std::ostream& out) {
  out << "    '" << path << "') words='" << words_after(app) << "' ;;\n";
  for (const CLI::App* child : app.get_subcommands([](const CLI::App*) { return true; }))
    write_cases(*child, (path.empty() ? "" : path + " ") + child->get_name(), out);
}

// A script of bash; zsh runs it after `bashcompinit`. Where nothing of ours fits, it is a file.
std::string bash_script(const CLI::App& app) {
  std::ostringstream out;
  out << R"(# Completion of tessera's commands and options.
_tessera_words() {  # of the command in $1: sets words
  words=''
  case "$1" in
)";
  write_cases(app, "", out);
  out << R"(  esac
}
_tessera() {
  local current=${COMP_WORDS[COMP_CWORD]} path='' next words i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    next="${path:+$path }${COMP_WORDS[i]}"
    _tessera_words "$next"
    [ -n "$words" ] || break
    path=$next
  done
  _tessera_words "$path"
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _tessera tessera
)";
  return out.str();
}

}  // namespace

void add_completion(CLI::App& app) {
  auto* command = app.add_subcommand("completion", "Print what makes the shell complete commands");
  auto shell = std::make_shared<std::string>("bash");
  command->add_option("shell", *shell, "bash, or zsh after bashcompinit")
      ->check(CLI::IsMember({"bash", "zsh"}));
  command->footer("Example: source <(tessera completion bash)");
  command->callback([&app, shell] {
    if (*shell == "zsh") std::cout << "autoload -U +X bashcompinit && bashcompinit\n";
    std::cout << bash_script(app);
  });
}

}  // namespace tessera::commands
