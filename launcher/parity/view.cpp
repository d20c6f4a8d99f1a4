#include "launcher/parity/view.h"

#include <ATen/ATen.h>

#include <sstream>

#include "core/error.h"

namespace tessera::parity {

at::Tensor apply_view(at::Tensor x, const std::vector<std::string>& steps) {
  for (const std::string& step : steps) {
    std::istringstream words(step);
    std::string name;
    words >> name;
    std::vector<int64_t> n;
    for (int64_t value; words >> value;) n.push_back(value);
    auto arg = [&](size_t i) {
      if (i >= n.size())
        throw ConfigError("view '" + step + "': expected more numbers, got " +
                          std::to_string(n.size()) + ".");
      return n[i];
    };
    if (name == "flatten")
      x = n.empty() ? x.flatten() : x.flatten(arg(0), arg(1));
    else if (name == "unflatten")
      x = x.unflatten(arg(0), std::vector<int64_t>(n.begin() + 1, n.end()));
    else if (name == "permute")
      x = x.permute(n);
    else if (name == "transpose")
      x = x.transpose(arg(0), arg(1));
    else if (name == "select")
      x = x.select(arg(0), arg(1));
    else if (name == "narrow")
      x = x.narrow(arg(0), arg(1), arg(2));
    else if (name == "slice")
      x = n.size() == 1 ? x : x.slice(arg(0), arg(1), arg(2));
    else if (name == "unsqueeze")
      x = x.unsqueeze(arg(0));
    else if (name == "squeeze")
      x = x.squeeze(arg(0));
    else if (name == "mean")
      x = x.mean(n);
    else if (name == "sum")
      x = x.sum();
    else if (name == "abs")
      x = x.abs();
    else if (name == "double")
      x = x.to(at::kDouble);
    else if (name == "affine")
      x = x * arg(0) + arg(1);
    else
      throw ConfigError("view '" + step + "': expected a known step, got '" + name + "'." +
                        suggestion(name, {"flatten", "unflatten", "permute", "transpose", "select",
                                          "narrow", "slice", "unsqueeze", "squeeze", "mean", "sum",
                                          "abs", "double", "affine"}));
  }
  return x;
}

}  // namespace tessera::parity
