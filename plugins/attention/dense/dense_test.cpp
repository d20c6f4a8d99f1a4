#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/interfaces/build_context.h"
#include "core/plugin/registry.h"

namespace tessera {
namespace {

std::shared_ptr<Attention> make_dense(int64_t dim, const std::string& scope) {
  static Registry registry(Registry::default_search_paths());
  PluginOf<Attention> choice{"dense"};
  ReadContext reading(&registry);
  ConfigNode table;
  table.set("scope", ConfigNode(ConfigNode::Value(scope)));
  table.set("num_heads", ConfigNode(ConfigNode::Value(int64_t{2})));
  config_detail::read_plugin(choice, "attention", table, "attention", reading);
  reading.throw_if_failed();
  BuildContext context;
  context.attention.dim = dim;
  return context.make(choice);
}

// softmax(q k / sqrt(d)) v, written out.
at::Tensor written_out(Attention& part, const at::Tensor& query, const at::Tensor& keys,
                       const at::Tensor& values) {
  auto p = part.named_parameters();
  const at::Tensor w = p["in_proj_weight"], b = p["in_proj_bias"];
  const int64_t dim = query.size(-1), head = dim / 2;
  auto project = [&](const at::Tensor& x, int64_t i) {
    return at::linear(x, w.narrow(0, i * dim, dim), b.narrow(0, i * dim, dim));
  };
  const at::Tensor q = project(query, 0), k = project(keys, 1), v = project(values, 2);
  std::vector<at::Tensor> heads;
  for (int64_t m = 0; m < 2; ++m) {
    const at::Tensor score =
        q.narrow(-1, m * head, head).matmul(k.narrow(-1, m * head, head).transpose(-1, -2));
    heads.push_back((score / std::sqrt(static_cast<double>(head)))
                        .softmax(-1)
                        .matmul(v.narrow(-1, m * head, head)));
  }
  return at::linear(at::cat(heads, -1), p["out_proj.weight"], p["out_proj.bias"]);
}

TEST(Dense, EqualsTheFormulaOverTheWholeClip) {
  at::manual_seed(1);
  auto part = make_dense(8, "clip");
  Memory memory;
  memory.tokens = at::randn({2, 3, 4, 8});
  memory.position = at::randn({2, 3, 4, 8});
  const at::Tensor query = at::randn({2, 1, 5, 8}), position = at::randn({2, 1, 5, 8});
  const at::Tensor ours = part->forward({query, position, {}, memory, {}}, {}).values.at(0);
  const at::Tensor expected =
      written_out(*part, (query + position).squeeze(1),
                  (memory.tokens + memory.position).flatten(1, 2), memory.tokens.flatten(1, 2));
  EXPECT_TRUE(at::allclose(ours.squeeze(1), expected, 1e-4, 1e-5));
}

TEST(Dense, IgnoresPaddedAndBlockedKeysOnly) {
  at::manual_seed(1);
  auto part = make_dense(8, "clip");
  Memory memory;
  memory.tokens = at::randn({1, 2, 4, 8});
  memory.padding_mask = at::zeros({1, 2, 4}, at::kBool);
  memory.padding_mask.select(2, 3).fill_(true);
  const at::Tensor query = at::randn({1, 1, 2, 8});
  at::Tensor blocked = at::zeros({1, 1, 2, 8}, at::kBool);
  blocked[0][0][1][0] = true;
  const at::Tensor before =
      part->forward({query, {}, {}, memory, blocked}, {}).values.at(0).clone();
  memory.tokens.select(2, 3).fill_(100.0);  // padded: nobody sees it
  EXPECT_TRUE(at::allclose(part->forward({query, {}, {}, memory, blocked}, {}).values.at(0), before,
                           1e-5, 1e-6));
  memory.tokens.select(1, 0).select(1, 0).fill_(3.0);  // blocked for query 1 alone
  const at::Tensor after = part->forward({query, {}, {}, memory, blocked}, {}).values.at(0);
  EXPECT_TRUE(at::allclose(after[0][0][1], before[0][0][1], 1e-5, 1e-6));
  EXPECT_FALSE(at::allclose(after[0][0][0], before[0][0][0], 1e-3, 1e-3));
}

// The weights that it tells are those that it reads with.
TEST(Dense, SaysWhereItLooksWhenAsked) {
  at::manual_seed(1);
  for (const std::string scope : {"clip", "frame"}) {
    auto part = make_dense(8, scope);
    Memory memory;
    memory.tokens = at::randn({2, 3, 4, 8});
    memory.padding_mask = at::zeros({2, 3, 4}, at::kBool);
    memory.padding_mask.select(2, 3).fill_(true);
    const int64_t groups = scope == "clip" ? 1 : 3;
    const at::Tensor query = at::randn({2, groups, 5, 8});
    AttentionInput input{query, {}, {}, memory, {}};
    EXPECT_FALSE(part->forward(input, {}).sampling.weights.defined());
    input.wants_sampling = true;
    const AttentionOutput output = part->forward(input, {});
    const at::Tensor& weights = output.sampling.weights;  // [B,G,M,Lq,keys]
    ASSERT_EQ(weights.sizes(), (at::IntArrayRef{2, groups, 2, 5, 12 / groups}));
    EXPECT_EQ(weights.narrow(-1, 3, 1).abs().max().item<double>(), 0.0) << "a padded cell";
    auto p = part->named_parameters();
    const at::Tensor tokens =
        scope == "clip" ? memory.tokens.flatten(1, 2).unsqueeze(1) : memory.tokens;  // [B,G,keys,D]
    const at::Tensor values =
        at::linear(tokens, p["in_proj_weight"].narrow(0, 16, 8), p["in_proj_bias"].narrow(0, 16, 8))
            .unflatten(-1, {2, 4})
            .transpose(2, 3);  // [B,G,M,keys,D/M]
    const at::Tensor read = weights.matmul(values).transpose(2, 3).flatten(3);
    EXPECT_TRUE(at::allclose(output.values.at(0),
                             at::linear(read, p["out_proj.weight"], p["out_proj.bias"]), 1e-4,
                             1e-5))
        << scope;
  }
}

TEST(Dense, KeepsFramesApartWithScopeFrame) {
  at::manual_seed(1);
  auto part = make_dense(8, "frame");
  Memory memory;
  memory.tokens = at::randn({1, 2, 4, 8});
  const at::Tensor query = at::randn({1, 2, 3, 8});
  const at::Tensor before = part->forward({query, {}, {}, memory, {}}, {}).values.at(0).clone();
  memory.tokens.select(1, 1).fill_(1.0);
  const at::Tensor after = part->forward({query, {}, {}, memory, {}}, {}).values.at(0);
  EXPECT_TRUE(at::equal(after[0][0], before[0][0]));
  EXPECT_FALSE(at::allclose(after[0][1], before[0][1], 1e-3, 1e-3));
}

}  // namespace
}  // namespace tessera
