#include "core/check.hpp"

#include "robocache/error.hpp"

namespace robocache {

namespace {

std::string sentence(std::string_view op, const Subject& subject, std::string_view got, std::string_view want,
                     std::string_view hint) {
  std::string text(op);
  text.append(": ").append(subject.text()).append(" is ").append(got).append(", expected ").append(want);
  if (!hint.empty()) text.append("; ").append(hint);
  return text;
}

}  // namespace

std::string Subject::text() const {
  std::string text(name);
  if (index >= 0 && key.empty()) text.append("[").append(std::to_string(index)).append("]");
  if (!key.empty()) text.append("['").append(key).append("']");
  if (!field.empty()) text.append(".").append(field);
  return text;
}

bool Check::Extent::accept(std::int64_t size) const {
  if (dim_ == nullptr) return size == size_;
  if (dim_->value < 0) dim_->value = size;
  return dim_->value == size;
}

std::string Check::Extent::text() const {
  if (dim_ == nullptr) return std::to_string(size_);
  return dim_->value < 0 ? std::string(dim_->letter) : std::string(dim_->letter) + "=" + std::to_string(dim_->value);
}

void Check::shape(const Subject& subject, const ConstTensor& tensor, std::initializer_list<Extent> want) const {
  bool same = static_cast<std::size_t>(tensor.rank) == want.size();
  int i = 0;
  for (const Extent& extent : want) same = same && extent.accept(tensor.shape[i++]);
  if (same) return;
  std::string text = "[";
  for (const Extent& extent : want) {
    if (text.size() > 1) text += ", ";
    text += extent.text();
  }
  fail(subject, shape_text(tensor), text + "]");
}

void Check::device(const Subject& subject, const ConstTensor& tensor, Device want) const {
  if (tensor.device != want) fail(subject, "on " + name(tensor.device), name(want), "all arrays must share a device");
}

void Check::fail(const Subject& subject, std::string_view got, std::string_view want, std::string_view hint) const {
  throw InvalidArgument(sentence(op_, subject, got, want, hint));
}

void Check::unsupported(const Subject& subject, std::string_view got, std::string_view want,
                        std::string_view hint) const {
  throw Unsupported(sentence(op_, subject, got, want, hint));
}

void Check::wrong_dtype(const Subject& subject, const ConstTensor& tensor, std::initializer_list<DType> want) const {
  std::string text;
  for (DType dtype : want) {
    if (!text.empty()) text += " or ";
    text += name(dtype);
  }
  fail(subject, name(tensor.dtype), text);
}

std::string shape_text(const ConstTensor& tensor) { return shape_text(tensor.sizes()); }

std::string shape_text(std::span<const std::int64_t> sizes) {
  std::string text = "[";
  for (std::int64_t size : sizes) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(size);
  }
  return text + "]";
}

void no_cuda(std::string_view op) {
  throw Unsupported(std::string(op) + ": the arrays are on a CUDA device and this build has no CUDA backend");
}

}  // namespace robocache
