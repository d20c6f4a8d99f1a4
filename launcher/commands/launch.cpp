#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>

#include "core/error.h"
#include "launcher/commands/commands.h"
#include "launcher/distributed/launch_line.h"
#include "launcher/distributed/supervisor.h"
#include "launcher/run_main.h"

namespace tessera::commands {
namespace {

namespace fs = std::filesystem;

struct LaunchArguments {
  std::string experiment, output;
  LaunchRequest request;
  bool dry_run = false;
};

// A signal handler can reach nothing else.
volatile std::sig_atomic_t started_process = 0;

// mpirun passes SIGUSR1 on to the ranks, which then write a checkpoint; SIGTERM would end them
// soon.
void ask_to_stop(int) {
  if (started_process > 0) kill(static_cast<pid_t>(started_process), SIGUSR1);
}

/// Starts the line, passes SIGTERM and SIGINT on as a wish to stop, waits. out: its exit code.
int start(const std::vector<std::string>& line) {
  std::vector<char*> arguments;
  for (const std::string& word : line) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t process = fork();
  if (process < 0) throw RuntimeError("launch: expected to start a process, got none.");
  if (process == 0) {
    setpgid(0, 0);  // the terminal's SIGINT is for this process alone: see ask_to_stop
    execvp(arguments[0], arguments.data());
    std::fprintf(stderr, "error: launch: expected to run %s, got '%s'. Is it installed?\n",
                 arguments[0], std::strerror(errno));
    _exit(kRuntimeError);
  }
  started_process = process;
  struct sigaction action {};
  action.sa_handler = ask_to_stop;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaction(signal, &action, nullptr);
  int status = 0;
  while (waitpid(process, &status, 0) < 0)
    if (errno != EINTR) throw RuntimeError("launch: expected to wait for a process, got none.");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// What the ranks left in the run folder when they ended too early.
void show_end(const fs::path& records) {
  std::ifstream failure(records / "failure.txt");
  for (std::string line; std::getline(failure, line);) std::cerr << "launch: " << line << '\n';
  for (const RankStatus& status : read_rank_records(records))
    if (status.phase != Phase::ended) std::cerr << "launch: last seen: " << status.text() << '\n';
}

int run(const LaunchArguments& given, const std::vector<std::string>& more) {
  LaunchRequest request = given.request;
  const fs::path main_program = fs::read_symlink("/proc/self/exe");
  request.program = (main_program.parent_path().parent_path() / "bin/tessera").string();
  const fs::path output = given.output.empty()
                              ? fs::path("runs") / fs::path(given.experiment).stem()
                              : fs::path(given.output);
  request.arguments = {"train", given.experiment, "--output", output.string()};
  request.arguments.insert(request.arguments.end(), more.begin(), more.end());
  std::vector<std::string> environment;
  for (const std::string& name : variables_that_matter())
    if (std::getenv(name.c_str())) environment.push_back(name);
  const auto line = launch_line(request, environment);
  std::cout << shell_text(line) << std::endl;
  if (given.dry_run) return kOk;
  const int code = start(line);
  if (code != kOk && code != kPreempted) show_end(rank_records(output));
  return code;
}

}  // namespace

void add_launch(CLI::App& app) {
  const auto arguments = std::make_shared<LaunchArguments>();
  CLI::App* command =
      app.add_subcommand("launch", "Train on several machines: prints and runs the command");
  command->add_option("experiment", arguments->experiment, "Experiment file")
      ->required()
      ->type_name("EXP");
  LaunchRequest& request = arguments->request;
  CLI::Option* hosts =
      command
          ->add_option("--hosts", request.hosts, "Machines and their numbers of ranks, for mpirun")
          ->type_name("A:8,B:8");
  CLI::Option* slurm = command->add_flag("--slurm", request.slurm,
                                         "Start by srun, within an allocation or with --nodes");
  hosts->excludes(slurm);
  command->add_option("--nodes", request.nodes, "Machines (Slurm)")->needs(slurm);
  command->add_option("--ranks-per-node", request.ranks_per_node, "Ranks, one a GPU (Slurm)")
      ->needs(slurm);
  command->add_option("--output", arguments->output,
                      "Run folder, on a file system that all machines share (default: "
                      "runs/<experiment>)");
  command->add_flag("--dry-run", arguments->dry_run, "Only print the command");
  command->allow_extras();
  command->footer(
      "Further arguments (--set, --weights, --resume) go to 'tessera train'. SIGTERM and SIGINT "
      "ask the ranks "
      "for a checkpoint; exit code 6 then.\n"
      "Example:\n"
      "  tessera launch experiments/vistr_r50.toml --hosts a:8,b:8 --resume auto --dry-run");
  command->callback([arguments, command] {
    if (const int code = run(*arguments, command->remaining()); code != kOk)
      throw CLI::RuntimeError(code);
  });
}

}  // namespace tessera::commands
