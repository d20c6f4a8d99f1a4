#include "core/structures/shape.h"

#include <cctype>
#include <sstream>

#include "core/error.h"

namespace tessera {

std::string shape_text(at::IntArrayRef shape) {
  std::string text = "[";
  for (const int64_t size : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(size);
  }
  text += "]";
  return text;
}

void expect_shape(const at::Tensor& tensor, std::string_view pattern, std::string_view name,
                  ShapeBinding& binding) {
  auto fail = [&](const std::string& found) {
    std::ostringstream text;
    text << name << ": expected " << pattern;
    const char* separator = " with ";
    for (const auto& [letter, size] : binding) {
      text << separator << letter << " = " << size;
      separator = ", ";
    }
    text << ", got " << found << ".";
    throw ShapeError(text.str());
  };
  if (!tensor.defined()) fail("an undefined tensor");
  std::istringstream parts{std::string(pattern)};
  parts.get();  // '['
  std::vector<std::string> dims;
  for (std::string part; std::getline(parts, part, ',');) dims.push_back(part);
  dims.back().pop_back();  // ']'
  if (static_cast<int64_t>(dims.size()) != tensor.dim()) fail(shape_text(tensor.sizes()));
  for (size_t i = 0; i < dims.size(); ++i) {
    const int64_t size = tensor.size(static_cast<int64_t>(i));
    if (dims[i] == "*") continue;
    if (std::isdigit(static_cast<unsigned char>(dims[i][0]))) {
      if (std::stoll(dims[i]) != size) fail(shape_text(tensor.sizes()));
      continue;
    }
    const auto [entry, inserted] = binding.emplace(dims[i][0], size);
    if (!inserted && entry->second != size) fail(shape_text(tensor.sizes()));
  }
}

void expect_shape(const at::Tensor& tensor, std::string_view pattern, std::string_view name) {
  ShapeBinding binding;
  expect_shape(tensor, pattern, name, binding);
}

}  // namespace tessera
