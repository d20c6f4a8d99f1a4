#include "launcher/distributed/launch_claim.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace tessera {
namespace {

using Environment = std::map<std::string, std::string>;

std::optional<LaunchClaim> claim_of(const Environment& environment) {
  return find_launch_claim([&](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

// What srun sets in each task of a step.
const Environment kSlurmStep{{"SLURM_JOB_ID", "7"},         {"SLURM_NTASKS", "4"},
                             {"SLURM_STEP_ID", "0"},        {"SLURM_STEPID", "0"},
                             {"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_PROCID", "0"}};

TEST(LaunchClaim, IsNoneForAProcessByItself) {
  EXPECT_FALSE(claim_of({}));
  EXPECT_FALSE(claim_of({{"OMP_NUM_THREADS", "4"}}));
  EXPECT_FALSE(claim_of({{"OMPI_COMM_WORLD_SIZE", "1"}, {"OMPI_COMM_WORLD_RANK", "0"}}));
  EXPECT_FALSE(claim_of({{"WORLD_SIZE", "1"}, {"RANK", "0"}}));
  EXPECT_FALSE(claim_of({{"PMI_SIZE", "many"}}));
}

TEST(LaunchClaim, IsNoneInTheScriptOfASlurmJob) {
  EXPECT_FALSE(claim_of({{"SLURM_JOB_ID", "7"},
                         {"SLURM_NTASKS", "8"},
                         {"SLURM_PROCID", "0"},
                         {"SLURM_LOCALID", "0"},
                         {"SLURM_TASKS_PER_NODE", "4(x2)"}}));
  // salloc's shell as a step of its own.
  Environment interactive = kSlurmStep;
  interactive["SLURM_STEP_NUM_TASKS"] = "1";
  EXPECT_FALSE(claim_of(interactive));
  // For PyTorch, for the whole job.
  EXPECT_FALSE(claim_of({{"WORLD_SIZE", "8"}, {"MASTER_ADDR", "node1"}}));
}

TEST(LaunchClaim, ReadsEveryLauncher) {
  for (const auto& [environment, tasks, statement] :
       std::vector<std::tuple<Environment, int64_t, std::string>>{
           {{{"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_RANK", "1"}},
            2,
            "OMPI_COMM_WORLD_SIZE=2"},
           {{{"MV2_COMM_WORLD_SIZE", "3"}}, 3, "MV2_COMM_WORLD_SIZE=3"},
           {{{"PMI_SIZE", "2"}, {"PMI_RANK", "0"}}, 2, "PMI_SIZE=2"},
           {kSlurmStep, 4, "SLURM_STEP_NUM_TASKS=4"},
           {{{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}, {"SLURM_STEP_ID", "0"}},
            4,
            "SLURM_NTASKS=4"},
           {{{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "3"}}, 4, "SLURM_PROCID=3"},
           {{{"FLUX_JOB_SIZE", "5"}, {"FLUX_TASK_RANK", "0"}}, 5, "FLUX_JOB_SIZE=5"},
           {{{"PMIX_RANK", "1"}, {"PMIX_NAMESPACE", "x"}}, 2, "PMIX_RANK=1"},
           {{{"WORLD_SIZE", "2"}, {"RANK", "0"}, {"LOCAL_RANK", "0"}}, 2, "WORLD_SIZE=2"}}) {
    const auto claim = claim_of(environment);
    ASSERT_TRUE(claim) << statement;
    EXPECT_EQ(claim->tasks, tasks) << statement;
    EXPECT_EQ(claim->statement, statement);
  }
}

TEST(LaunchClaim, IsTheInnermostLaunchers) {
  // mpirun inside an allocation starts its ranks through a step of one task a machine.
  Environment ranks = kSlurmStep;
  ranks["OMPI_COMM_WORLD_SIZE"] = "16";
  ranks["OMPI_COMM_WORLD_RANK"] = "3";
  EXPECT_EQ(claim_of(ranks)->tasks, 16);
  ranks["OMPI_COMM_WORLD_SIZE"] = "1";
  EXPECT_FALSE(claim_of(ranks));
}

TEST(LaunchClaim, KnowsWhetherMpiCanFindTheOthers) {
  EXPECT_FALSE(claim_of(kSlurmStep)->is_mpi_reachable);  // srun --mpi=none
  Environment pmix = kSlurmStep;
  pmix["PMIX_RANK"] = "0";
  EXPECT_TRUE(claim_of(pmix)->is_mpi_reachable);
  EXPECT_TRUE(claim_of({{"PMI_SIZE", "2"}})->is_mpi_reachable);
  EXPECT_FALSE(claim_of({{"WORLD_SIZE", "2"}, {"RANK", "1"}})->is_mpi_reachable);
}

TEST(LaunchClaim, NamesEveryVariableToUnset) {
  EXPECT_EQ(claim_of(kSlurmStep)->variables,
            (std::vector<std::string>{"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}));
}

}  // namespace
}  // namespace tessera
