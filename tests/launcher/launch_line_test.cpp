#include "launcher/distributed/launch_line.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace tessera {
namespace {

TEST(LaunchLine, StartsByMpirun) {
  LaunchRequest request;
  request.program = "/opt/tessera/bin/tessera";
  request.hosts = "a:8,b:4,c";
  request.arguments = {"train", "my exp.toml", "--set", "train.frozen=['it']"};
  EXPECT_EQ(shell_text(launch_line(request, {"PATH"})),
            "mpirun --host a:8,b:4,c -np 13 --bind-to none --mca odls_base_sigkill_timeout 15 "
            "-x PATH /opt/tessera/bin/tessera train 'my exp.toml' --set "
            "'train.frozen=['\\''it'\\'']'");
}

TEST(LaunchLine, StartsBySlurm) {
  LaunchRequest request;
  request.program = "tessera";
  request.slurm = true;
  request.nodes = 2;
  request.ranks_per_node = 8;
  request.arguments = {"train", "a.toml"};
  EXPECT_EQ(
      shell_text(launch_line(request, {"PATH"})),
      "srun --mpi=pmix --kill-on-bad-exit=1 --nodes=2 --ntasks-per-node=8 --ntasks=16 tessera "
      "train a.toml");
}

TEST(LaunchLine, RefusesWhatIsNoListOfMachines) {
  for (const char* hosts : {"a:0", "a:x", ":8", "a:8,,b", "a:8x"})
    EXPECT_THROW(count_ranks(hosts), ConfigError) << hosts;
  EXPECT_THROW(launch_line({}, {}), ConfigError);
}

}  // namespace
}  // namespace tessera
