#include "launcher/evaluation/report/score_csv.h"

#include <gtest/gtest.h>

namespace tessera::evaluation {
namespace {

TEST(ScoreCsv, HasARowForEachCategoryAndOneForAll) {
  ScoreResult result;
  result.stats = {{"AP", 1. / 3}, {"AP50", kUndefined}};
  CategoryScore duck;
  duck.category_id = 5;
  duck.name = "duck";
  duck.num_ground_truth = {7, 0, 0, 0};
  duck.stats = {{"AP", 0.1}, {"AP50", 1}};
  CategoryScore odd = duck;
  odd.category_id = 6;
  odd.name = "bow, \"arrow\"";
  odd.stats = {{"AP", kUndefined}, {"AP50", 1e-7}};
  result.categories = {duck, odd};
  EXPECT_EQ(score_csv(result),
            "category_id,category,num_gt,AP,AP50\n"
            "5,duck,7,0.1,1\n"
            "6,\"bow, \"\"arrow\"\"\",7,-1,1e-07\n"
            ",all,14,0.3333333333333333,-1\n");
}

}  // namespace
}  // namespace tessera::evaluation
