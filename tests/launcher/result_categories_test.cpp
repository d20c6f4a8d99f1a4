// Ids and names of a model's classes: from the weights, from annotations, never made up.

#include "launcher/inference/result_categories.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "launcher/weights/checkpoint_format.h"
#include "tests/training/temporary_folder.h"

namespace tessera {
namespace {

using data::CategoryTable;
using test_support::expect_error;
using test_support::TemporaryFolder;
using test_support::write_file;

class ResultCategories : public testing::Test {
 protected:
  ResultCategories() { experiment_.data.num_categories = 2; }

  std::string file(const std::string& name, const std::string& categories) {
    write_file(folder_ / name, R"({"info": {"categories": [1]}, "categories": )" + categories +
                                   R"(, "videos": []})");
    return (folder_ / name).string();
  }
  CategoryTable result() const { return result_categories(experiment_, sources_); }
  void give_metadata(const std::string& text) {
    sources_.metadata[std::string(kCategoriesKey)] = text;
    sources_.weights = "w.safetensors";
  }

  const std::string cats_ = R"([{"id": 38, "name": "cross"}, {"id": 10, "name": "circle"}])";
  const CategoryTable table_{{10, 38}, {"circle", "cross"}};
  TemporaryFolder folder_;
  Experiment experiment_;
  CategorySources sources_;
};

TEST_F(ResultCategories, TravelWithTheWeights) {
  EXPECT_EQ(data::read_category_text(data::json_text(table_), "text"), table_);
  give_metadata(data::json_text(table_));
  sources_.input = folder_.path();  // frames
  EXPECT_EQ(result(), table_);
  // An annotation file that an experiment names is about other data than the weights may be.
  experiment_.data.train.annotations =
      file("train.json", R"([{"id":1,"name":"a"},{"id":2,"name":"b"}])");
  EXPECT_EQ(result(), table_);
  give_metadata("{");
  expect_error<DataError>([&] { result(); }, {"w.safetensors", "'categories'"});
}

TEST_F(ResultCategories, TakeTheInputsIdsForTheSameNames) {
  give_metadata(R"([{"id": 1, "name": "circle"}, {"id": 2, "name": "cross"}])");
  for (const char* name : {"valid.json", "VALID.JSON"}) {
    sources_.input = file(name, cats_);
    EXPECT_EQ(result(), table_) << name;
  }
  // The order of the classes is the weights'.
  sources_.input =
      file("other.json", R"([{"id": 3, "name": "cross"}, {"id": 4, "name": "circle"}])");
  EXPECT_EQ(result(), (CategoryTable{{4, 3}, {"circle", "cross"}}));
  // A part of the categories under their own ids.
  sources_.input = file("part.json", R"([{"id": 2, "name": "cross"}])");
  EXPECT_EQ(result().ids, (std::vector<int64_t>{1, 2}));
  sources_.input = file("foreign.json", R"([{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}])");
  expect_error<ConfigError>([&] { result(); }, {"'dog'", "1 'circle'", "--categories"});
  sources_.given = sources_.input;
  EXPECT_EQ(result().names, (std::vector<std::string>{"dog", "cat"}));
}

TEST_F(ResultCategories, AreReadFromAnnotationsOfAnyEnding) {
  sources_.input = file("VALID.JSON", cats_);
  EXPECT_EQ(result(), table_);
  experiment_.data.num_categories = 3;
  expect_error<ConfigError>([&] { result(); }, {"data.num_categories", "VALID.JSON", "got 3"});
}

TEST_F(ResultCategories, AreNeverMadeUp) {
  sources_.input = folder_.path();
  experiment_.data.train.annotations = "no/such/train.json";
  expect_error<ConfigError>([&] { result(); }, {"no/such/train.json", "--categories FILE"});
  experiment_.data.categories = {{38, "cross"}, {10, "circle"}};
  EXPECT_EQ(result(), table_);
  // Those of a base file do not fit an experiment with another number of categories.
  experiment_.data.num_categories = 1;
  expect_error<ConfigError>([&] { result(); }, {"--categories FILE"});
  experiment_.data.num_categories = 2;
  experiment_.data.validation.annotations =
      file("valid.json", R"([{"id":1,"name":"a"},{"id":2,"name":"b"}])");
  EXPECT_EQ(result().ids, (std::vector<int64_t>{1, 2}));
}

}  // namespace
}  // namespace tessera
