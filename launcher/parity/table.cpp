#include "launcher/parity/table.h"

#include "core/config/toml_reader.h"

namespace tessera::parity {

void ConfigRule::describe(Schema<ConfigRule>& schema) {
  schema.field("key", &ConfigRule::key, "Regular expression on a key of the case's config.")
      .required();
  schema.field("set", &ConfigRule::set, "Overrides of the experiment; $value, $1, ...");
  schema.field("values", &ConfigRule::values, "The rule holds for these values only.");
  schema.field("note", &ConfigRule::note, "Why the key sets nothing.");
}

void TensorRule::describe(Schema<TensorRule>& schema) {
  schema.field("name", &TensorRule::name, "Regular expression on a stored tensor's name.")
      .required();
  schema.field("from", &TensorRule::from, "Where ours comes from; $1, ...").required();
  schema.field("view", &TensorRule::view, "Steps from ours to the stored layout.");
  schema.field("compare", &TensorRule::compare, "How to compare.")
      .one_of({"auto", "pixels", "masks"});
  schema.field("variant", &TensorRule::variant, "Name of the variant that computes it.");
  schema.field("stored", &TensorRule::stored, "Steps from the stored tensor to a part of it.");
  schema.field("scale", &TensorRule::scale, "Stored scalar that is the tensor's scale.");
  schema.field("last", &TensorRule::last, "Where fewer rows are stored, they are our last.");
  schema.field("more", &TensorRule::more, "Later rules compare further parts of the tensor.");
}

void PointRule::describe(Schema<PointRule>& schema) {
  schema.field("use", &PointRule::use, "Regular expression on what asks for points.").required();
  schema.field("from", &PointRule::from, "The recorded points; $1, ...").required();
}

void Variant::describe(Schema<Variant>& schema) {
  schema.field("name", &Variant::name, "Name that tensors refer to.").required();
  schema.field("set", &Variant::set, "Overrides of the experiment.").required();
  schema.field("gradients", &Variant::gradients, "Compute this loss's gradients, too.");
}

void RecipeRule::describe(Schema<RecipeRule>& schema) {
  schema.field("tensors", &RecipeRule::tensors, "Regular expression on stored names.").required();
  schema.field("key", &RecipeRule::key, "A key of the case's config that decides.");
  schema.field("values", &RecipeRule::values, "Values of the key that the rule holds for.");
  schema.field("train", &RecipeRule::train, "The [train] table; $(key), $(key.0).").required();
}

void Table::describe(Schema<Table>& schema) {
  schema.field("kind", &Table::kind, "What the cases are of.")
      .one_of({"model", "backbone", "operator", "learning_rates"});
  schema.field("experiment", &Table::experiment, "Experiment file, relative to the table.");
  schema.field("include", &Table::include, "Table whose rules follow this one's.");
  schema.field("set", &Table::set, "Overrides for every case.");
  schema.field("loss_set", &Table::loss_set, "Overrides for cases with targets.");
  schema.field("batch_key", &Table::batch_key,
               "Key of the case's config that states the number of clips.");
  schema.field("tracks", &Table::tracks, "Stored tensor with the queries of the best tracks.");
  schema.field("masks", &Table::masks, "Stored tensor with masks of distinct tracks.");
  schema.field("points", &Table::points, "Rules from callers to recorded points.");
  schema.field("config", &Table::config, "Rules from the case's config to overrides.");
  schema.field("tensor", &Table::tensor, "Rules from stored tensors to ours.");
  schema.field("variant", &Table::variant, "Further computations of the loss.");
  schema.field("recipe", &Table::recipe, "The [train] table of cases of learning rates.");
}

Table read_table(const std::filesystem::path& file) {
  Table table;
  ReadContext context;
  schema_of<Table>().read(&table, read_experiment(file), "", context);
  context.throw_if_failed();
  if (!table.experiment.empty())
    table.experiment = (file.parent_path() / table.experiment).string();
  if (table.include.empty()) return table;
  const Table below = read_table(file.parent_path() / table.include);
  if (table.batch_key.empty()) table.batch_key = below.batch_key;
  if (table.tracks.empty()) table.tracks = below.tracks;
  if (table.masks.empty()) table.masks = below.masks;
  auto append = [](auto& rules, const auto& more) {
    rules.insert(rules.end(), more.begin(), more.end());
  };
  append(table.set, below.set);
  append(table.loss_set, below.loss_set);
  append(table.points, below.points);
  append(table.config, below.config);
  append(table.tensor, below.tensor);
  append(table.variant, below.variant);
  return table;
}

}  // namespace tessera::parity
