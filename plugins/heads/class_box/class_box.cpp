// Class and box head of DETR: a linear layer and a 3-layer MLP, shared by the decoder layers or one
// for each. Where a decoder gives embeddings of the clip and of its frames, classes come from the
// former and boxes from the latter (SeqFormer). Keys: class_embed (with class_layers > 1:
// class_embed.layers.<i>), bbox_embed.layers.<i>; per_layer: class_embed.<l>, bbox_embed.<l>;
// class_per = "clip" adds frame_weight.

#include <ATen/ATen.h>
#include <torch/nn/modules/linear.h>
#include <cmath>

#include "core/interfaces/instance_head.h"
#include "core/nn/boxes.h"
#include "core/nn/mlp.h"
#include "core/nn/precision.h"
#include "core/plugin/plugin.h"

namespace tessera::instance_head::class_box {

struct Options {
  std::string activation = "softmax_no_object";
  int64_t label_offset = 0;
  std::optional<int64_t> num_classes;
  int64_t class_layers = 1;
  bool with_boxes = true;
  int64_t box_layers = 3;
  bool per_layer = false;
  std::string class_per = "embedding";
  std::optional<double> prior_probability;
  std::string box_centre = "absolute";
  double box_size_bias = 0.0;
  double box_start = 1.0;

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
    schema
        .field("class_layers", &Options::class_layers,
               "Linear layers of the classifier, ReLU between them (IFC: 2).")
        .at_least(1);
    schema.field("with_boxes", &Options::with_boxes,
                 "Predict boxes, too; without them nothing may be matched, trained or masked by "
                 "boxes.");
    schema.field("box_layers", &Options::box_layers, "Linear layers of the box MLP.").at_least(1);
    schema.field("per_layer", &Options::per_layer, "Heads of its own for every decoder layer.");
    schema
        .field("class_per", &Options::class_per,
               "embedding: a class for each embedding; clip: one class a query, from the mean of "
               "its frames' embeddings under learnt weights.")
        .one_of({"embedding", "clip"});
    schema
        .field("prior_probability", &Options::prior_probability,
               "Probability that every class begins with (0.01 for focal losses); sigmoid only.")
        .more_than(0);
    schema
        .field("box_centre", &Options::box_centre,
               "absolute: the box's centre is predicted; reference: relative to the decoder's "
               "reference point; refined: the whole box is relative to the decoder's reference "
               "where that is a box (iterative refinement), its centre where it is a point.")
        .one_of({"absolute", "reference", "refined"});
    schema.field("box_size_bias", &Options::box_size_bias,
                 "Bias of width and height before the sigmoid at the start (-1.3: a fifth of the "
                 "frame); with refined boxes of the first layer, whose references are points.");
    schema
        .field("box_start", &Options::box_start,
               "Factor on the box MLP's last weights at the start; small ones begin near the "
               "reference.")
        .at_least(0);
    schema.validate([](const Options& o) {
      if (o.prior_probability && *o.prior_probability >= 1)
        throw ConfigError("prior_probability: expected less than 1, got " +
                          std::to_string(*o.prior_probability) + ".");
      if (o.prior_probability && o.activation != "sigmoid")
        throw ConfigError("prior_probability: expected activation = \"sigmoid\" beside it, got \"" +
                          o.activation + "\".");
      if (o.box_centre == "refined" && !o.per_layer)
        throw ConfigError(
            "box_centre: expected per_layer = true beside \"refined\", got false: the first layer "
            "starts from points, the others from boxes.");
    });
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
      add_classifier(dim, outputs);
      if (!options.with_boxes) continue;
      bbox_embed_.push_back(std::make_shared<Mlp>(dim, dim, 4, options.box_layers));
      start(*bbox_embed_.back(), i);
      add("bbox_embed", bbox_embed_.back());
    }
    if (options.class_per == "clip")
      frame_weight_ = register_module("frame_weight", torch::nn::Linear(dim, 1));
    if (options.per_layer) {
      register_module("class_embed", class_list_);
      if (options.with_boxes) register_module("bbox_embed", bbox_list_);
    }
  }

  LayerPrediction forward(int64_t layer, const InstanceLayer& embeddings, int64_t num_frames,
                          PredictionWant want, const ForwardContext&) override {
    const size_t head = options_.per_layer ? static_cast<size_t>(layer) : 0;
    const bool per_frame = embeddings.frame.defined();
    const at::Tensor& x = per_frame ? embeddings.frame : embeddings.clip;
    LayerPrediction prediction;
    if (want.classes) {
      at::Tensor described = embeddings.clip.defined() ? embeddings.clip : embeddings.frame;
      if (per_frame && frame_weight_) described = over_frames(embeddings.frame);
      prediction.classes.logits = class_embed_.empty() ? class_mlps_.at(head)->forward(described)
                                                       : class_embed_.at(head)->forward(described);
      prediction.classes.scope = described.dim() == 3 ? ClassScope::clip : ClassScope::frame;
      prediction.classes.activation =
          softmax() ? ClassActivation::softmax_no_object : ClassActivation::sigmoid;
      prediction.classes.label_offset = options_.label_offset;
    }
    if (want.boxes && options_.with_boxes) {
      at::Tensor boxes = to_full_precision(bbox_embed_.at(head)->forward(x));
      if (!per_frame) boxes = boxes.unsqueeze(1).expand({-1, num_frames, -1, -1});
      if (options_.box_centre != "absolute") {
        if (!embeddings.references.defined())
          throw ConfigError(
              "instance_head.box_centre: expected a decoder that gives reference points, got none. "
              "Set box_centre = \"absolute\", or the decoder's references = \"moving\".");
        const bool whole = options_.box_centre == "refined" && embeddings.references.size(-1) == 4;
        const int64_t known = whole ? 4 : 2;
        const at::Tensor reference = inverse_sigmoid(embeddings.references.narrow(-1, 0, known));
        boxes = boxes + at::constant_pad_nd(reference, {0, 4 - known});
      }
      prediction.boxes = boxes.sigmoid();
    }
    return prediction;
  }

 private:
  /// [B,T,Q,D] -> [B,Q,D].
  at::Tensor over_frames(const at::Tensor& x) {
    return (frame_weight_->forward(x).softmax(1) * x).sum(1);
  }
  /// One linear layer under the name itself, or several.
  void add_classifier(int64_t dim, int64_t outputs) {
    std::shared_ptr<torch::nn::Module> classifier;
    if (options_.class_layers == 1) {
      class_embed_.emplace_back(dim, outputs);
      classifier = class_embed_.back().ptr();
    } else {
      class_mlps_.push_back(std::make_shared<Mlp>(dim, dim, outputs, options_.class_layers));
      classifier = class_mlps_.back();
    }
    if (options_.prior_probability) {
      torch::NoGradGuard no_grad;
      const double p = *options_.prior_probability;
      classifier->parameters().back().fill_(std::log(p / (1 - p)));  // the last layer's bias
    }
    add("class_embed", classifier);
  }
  void start(Mlp& box, int64_t layer) const {
    torch::NoGradGuard no_grad;
    auto parameters = box.parameters();  // the last two are the last layer's
    at::Tensor &weight = parameters[parameters.size() - 2], &bias = parameters.back();
    if (options_.box_start != 1.0) {
      weight.mul_(options_.box_start);
      bias.mul_(options_.box_start);
    }
    if (layer == 0 || options_.box_centre != "refined")
      bias.narrow(0, 2, 2).add_(options_.box_size_bias);
  }
  bool softmax() const { return options_.activation == "softmax_no_object"; }
  void add(const std::string& name, std::shared_ptr<torch::nn::Module> module) {
    if (!options_.per_layer)
      register_module(name, module);
    else
      (name == "class_embed" ? class_list_ : bbox_list_)->push_back(module);
  }

  Options options_;
  torch::nn::Linear frame_weight_{nullptr};
  std::vector<torch::nn::Linear> class_embed_;    // class_layers = 1
  std::vector<std::shared_ptr<Mlp>> class_mlps_;  // more
  std::vector<std::shared_ptr<Mlp>> bbox_embed_;
  torch::nn::ModuleList class_list_, bbox_list_;
};

}  // namespace tessera::instance_head::class_box

TESSERA_PLUGIN(InstanceHead, tessera::instance_head::class_box::ClassBox, "class_box",
               "Class logits and boxes from instance embeddings (DETR)")
