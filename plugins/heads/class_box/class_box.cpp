// Class and box head of DETR: a linear layer and a 3-layer MLP, shared by the decoder layers or one
// for each. Keys: class_embed, bbox_embed.layers.<i>; per_layer: class_embed.<l>, bbox_embed.<l>.

#include "core/interfaces/instance_head.h"
#include "core/nn/mlp.h"
#include "core/plugin/plugin.h"

namespace tessera::instance_head::class_box {

struct Options {
  std::string activation = "softmax_no_object";
  int64_t label_offset = 0;
  std::optional<int64_t> num_classes;
  int64_t box_layers = 3;
  bool per_layer = false;

  static void describe(Schema<Options>& schema) {
    schema
        .field("activation", &Options::activation,
               "softmax_no_object: a last class for no object; sigmoid: one decision a class.")
        .one_of({"softmax_no_object", "sigmoid"});
    schema
        .field("label_offset", &Options::label_offset,
               "Class index of the first category (VisTR: 1, its classes are category ids).")
        .at_least(0);
    schema
        .field("num_classes", &Options::num_classes,
               "Classes without no-object; by default the data's categories plus label_offset.")
        .at_least(1);
    schema.field("box_layers", &Options::box_layers, "Linear layers of the box MLP.").at_least(1);
    schema.field("per_layer", &Options::per_layer, "Heads of its own for every decoder layer.");
  }
};

class ClassBox final : public InstanceHead {
 public:
  using Options = class_box::Options;

  ClassBox(const Options& options, const BuildContext& context) : options_(options) {
    const int64_t classes =
        options.num_classes.value_or(context.clip.num_categories + options.label_offset);
    if (classes < context.clip.num_categories + options.label_offset)
      throw ConfigError("instance_head.num_classes: expected at least " +
                        std::to_string(context.clip.num_categories + options.label_offset) +
                        " (categories plus label_offset), got " + std::to_string(classes) + ".");
    const int64_t outputs = classes + (softmax() ? 1 : 0);
    const int64_t dim = context.queries.dim;
    const int64_t heads = options.per_layer ? context.queries.num_layers : 1;
    for (int64_t i = 0; i < heads; ++i) {
      class_embed_.emplace_back(dim, outputs);
      bbox_embed_.push_back(std::make_shared<Mlp>(dim, dim, 4, options.box_layers));
      add("class_embed", class_embed_.back().ptr());
      add("bbox_embed", bbox_embed_.back());
    }
    if (options.per_layer) {
      register_module("class_embed", class_list_);
      register_module("bbox_embed", bbox_list_);
    }
  }

  LayerPrediction forward(int64_t layer, const InstanceLayer& embeddings, int64_t num_frames,
                          PredictionWant want, const ForwardContext&) override {
    const size_t head = options_.per_layer ? static_cast<size_t>(layer) : 0;
    const bool per_frame = embeddings.frame.defined();
    const at::Tensor& x = per_frame ? embeddings.frame : embeddings.clip;
    LayerPrediction prediction;
    if (want.classes) {
      prediction.classes.logits = class_embed_.at(head)->forward(x);
      prediction.classes.scope = per_frame ? ClassScope::frame : ClassScope::clip;
      prediction.classes.activation =
          softmax() ? ClassActivation::softmax_no_object : ClassActivation::sigmoid;
      prediction.classes.label_offset = options_.label_offset;
    }
    if (want.boxes) {
      const at::Tensor boxes = bbox_embed_.at(head)->forward(x).sigmoid();
      prediction.boxes = per_frame ? boxes : boxes.unsqueeze(1).expand({-1, num_frames, -1, -1});
    }
    return prediction;
  }

 private:
  bool softmax() const { return options_.activation == "softmax_no_object"; }
  void add(const std::string& name, std::shared_ptr<torch::nn::Module> module) {
    if (!options_.per_layer)
      register_module(name, module);
    else
      (name == "class_embed" ? class_list_ : bbox_list_)->push_back(module);
  }

  Options options_;
  std::vector<torch::nn::Linear> class_embed_;
  std::vector<std::shared_ptr<Mlp>> bbox_embed_;
  torch::nn::ModuleList class_list_, bbox_list_;
};

}  // namespace tessera::instance_head::class_box

TESSERA_PLUGIN(InstanceHead, tessera::instance_head::class_box::ClassBox, "class_box",
               "Class logits and boxes from instance embeddings (DETR)")
