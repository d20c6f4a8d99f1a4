#include "launcher/cpu_limits.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>

#include <string>

#include "core/error.h"
#include "launcher/control_groups.h"
#include "tests/training/temporary_folder.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using test_support::expect_error;
using test_support::TemporaryFolder;
using Mask = std::vector<int64_t>;

/// Sets a variable for a while.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = getenv(name)) before_ = before;
    if (value != nullptr)
      setenv(name, value, 1);
    else
      unsetenv(name);
  }
  ~Variable() {
    if (before_)
      setenv(name_, before_->c_str(), 1);
    else
      unsetenv(name_);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

class CpuLimits : public ::testing::Test {
 protected:
  void write(const std::string& file, const std::string& text) {
    fs::create_directories((folder_ / file).parent_path());
    test_support::write_file(folder_ / file, text);
  }
  /// The quota that the files state, as limit and text.
  CpuLimit quota() {
    for (const CpuLimit& limit : cpu_limits(folder_.path()))
      if (limit.source == "cgroup quota") return limit;
    return {};
  }

  TemporaryFolder folder_;
  Variable none_{"OMP_NUM_THREADS", nullptr};
};

TEST_F(CpuLimits, ReadsTheTightestQuotaOfVersion2AndItsParents) {
  write("proc/self/mountinfo",
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "31 22 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
  write("proc/self/cgroup", "0::/user.slice/job_7/step_0\n");
  write("sys/fs/cgroup/user.slice/job_7/step_0/cpu.max", "800000 100000\n");
  write("sys/fs/cgroup/user.slice/job_7/cpu.max", "250000 100000\n");
  write("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
  EXPECT_EQ(quota().threads, 3);  // a part of a processor counts as a whole one
  EXPECT_NE(quota().detail.find("2.5 in"), std::string::npos) << quota().detail;
  EXPECT_NE(quota().detail.find("user.slice/job_7"), std::string::npos) << quota().detail;
  write("sys/fs/cgroup/user.slice/job_7/cpu.max", "max 100000\n");
  EXPECT_EQ(quota().threads, 8);
  write("sys/fs/cgroup/user.slice/job_7/step_0/cpu.max", "max 100000\n");
  EXPECT_EQ(quota().threads, std::nullopt);
}

TEST_F(CpuLimits, ReadsTheQuotaOfVersion1) {
  write("proc/self/mountinfo",
        "31 22 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "32 22 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  write("proc/self/cgroup", "5:cpu,cpuacct:/docker/abc\n4:memory:/other\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota().threads, std::nullopt);
  write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "50000\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota().threads, 1);
}

TEST_F(CpuLimits, FindsAContainersGroupWhereOnlyThatIsMounted) {
  write("proc/self/mountinfo",
        "31 22 0:27 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
  write("proc/self/cgroup", "5:cpu:/docker/abc\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota().threads, 4);
  write("proc/self/cgroup", "5:cpu:/elsewhere\n");  // the path is the host's
  EXPECT_EQ(quota().threads, 4);
}

TEST_F(CpuLimits, MemoryOfControlGroupsIsTheLeastOfAllParents) {
  EXPECT_EQ(memory_left_by_groups(folder_.path()), std::nullopt);
  write("proc/self/mountinfo",
        "31 22 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
        "32 22 0:28 / /sys/fs/cgroup/old rw - cgroup cgroup rw,memory\n");
  write("proc/self/cgroup", "4:memory:/box\n0::/job/step\n");
  write("sys/fs/cgroup/job/step/memory.max", "max\n");
  write("sys/fs/cgroup/job/step/memory.current", "900\n");
  EXPECT_EQ(memory_left_by_groups(folder_.path()), std::nullopt);
  write("sys/fs/cgroup/job/memory.max", "5000\n");
  write("sys/fs/cgroup/job/memory.current", "2000\n");
  write("sys/fs/cgroup/job/memory.stat", "anon 1500\ninactive_file 400\nactive_file 100\n");
  EXPECT_EQ(memory_left_by_groups(folder_.path()), 3400);
  write("sys/fs/cgroup/old/box/memory.limit_in_bytes", "3000\n");
  write("sys/fs/cgroup/old/box/memory.usage_in_bytes", "2500\n");
  write("sys/fs/cgroup/old/box/memory.stat", "inactive_file 7\ntotal_inactive_file 100\n");
  EXPECT_EQ(memory_left_by_groups(folder_.path()), 600);
}

TEST_F(CpuLimits, HaveNoQuotaWithoutControlGroups) {
  EXPECT_EQ(quota().threads, std::nullopt);
  EXPECT_EQ(quota().detail, "no limit");
}

TEST_F(CpuLimits, ReadOmpNumThreads) {
  auto threads = [&](const char* value) {
    const Variable variable("OMP_NUM_THREADS", value);
    return cpu_limits(folder_.path()).back().threads;
  };
  EXPECT_EQ(threads("3"), 3);
  EXPECT_EQ(threads(" 4 , 2"), 4);
  EXPECT_EQ(threads(""), std::nullopt);
  for (const char* wrong : {"0", "-1", "two", "2x"})
    expect_error<ConfigError>([&] { threads(wrong); }, {"OMP_NUM_THREADS", "1 or more", wrong});
}

TEST_F(CpuLimits, FollowTheAffinityMask) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  const Mask all = affinity_mask();
  EXPECT_EQ(static_cast<int>(all.size()), CPU_COUNT(&before));
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(all.back(), &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  const Mask narrowed = affinity_mask();
  const auto limits = cpu_limits(folder_.path());
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
  EXPECT_EQ(narrowed, Mask{all.back()});
  EXPECT_EQ(tightest_limit(limits).threads, 1);
  EXPECT_EQ(tightest_limit(limits).source, all.size() > 1 ? "affinity mask" : "processors");
}

TEST_F(CpuLimits, TheTightestDecides) {
  const std::vector<CpuLimit> limits{{"processors", 16, ""},
                                     {"affinity mask", 8, ""},
                                     {"cgroup quota", std::nullopt, ""},
                                     {"OMP_NUM_THREADS", 8, ""}};
  EXPECT_EQ(tightest_limit(limits).source, "affinity mask");
  auto with_quota = limits;
  with_quota[2].threads = 3;
  EXPECT_EQ(tightest_limit(with_quota).source, "cgroup quota");
}

TEST_F(CpuLimits, AreSharedByTheProcessesOfAMachine) {
  const std::vector<CpuLimit> limits{{"processors", 8, ""},
                                     {"affinity mask", 8, ""},
                                     {"cgroup quota", std::nullopt, ""},
                                     {"OMP_NUM_THREADS", std::nullopt, ""}};
  const Mask all{0, 1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(usable_threads_beside(limits, all, {all}), 8);
  EXPECT_EQ(usable_threads_beside(limits, all, {all, all}), 4);
  // Bound to cores of their own, the ranks take nothing from each other.
  const Mask left{0, 1, 2, 3}, right{4, 5, 6, 7};
  auto bound = limits;
  bound[1].threads = 4;
  EXPECT_EQ(usable_threads_beside(bound, left, {left, right}), 4);
  EXPECT_EQ(usable_threads_beside(bound, left, {left, left}), 2);
  auto limited = limits;
  limited[2].threads = 4;
  EXPECT_EQ(usable_threads_beside(limited, all, {all, all}), 2);
  limited[3].threads = 1;
  EXPECT_EQ(usable_threads_beside(limited, all, {all, all}), 1);
  EXPECT_EQ(usable_threads_beside(limits, {0}, {{0}, {0}, {0}}), 1);
}

}  // namespace
}  // namespace tessera
