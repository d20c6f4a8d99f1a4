#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

/// What `tessera launch` was asked for.
struct LaunchRequest {
  std::string program;  // tessera, the same path on every machine
  std::string hosts;    // "a:8,b:8", or "" with Slurm
  bool slurm = false;
  int64_t nodes = 0, ranks_per_node = 0;  // Slurm: 0 leaves it to the allocation
  std::vector<std::string> arguments;     // "train", EXP, ...
};

/// Ranks that "a:8,b:8" asks for. Throws ConfigError for a list that is none.
int64_t count_ranks(const std::string& hosts);

/// The command that starts the ranks: mpirun, or srun. in: names of the environment variables that
/// are set here and matter there.
std::vector<std::string> launch_line(const LaunchRequest& request,
                                     const std::vector<std::string>& environment);

/// Variables that change what ranks do and that mpirun does not pass on by itself.
const std::vector<std::string>& variables_that_matter();

/// The line as a shell would take it.
std::string shell_text(const std::vector<std::string>& line);

}  // namespace tessera
