#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "core/visit.hpp"
#include "robocache/tensor.hpp"

namespace robocache {

/// A dimension of an operator, named by its letter. Bound by first use, compared after.
struct Dim {
  const char* letter;
  std::int64_t value = -1;
};

/// What an error is about: "at", "streams[1].values" or "streams['imu'].values". Becomes text only when a check fails.
struct Subject {
  std::string_view name;
  int index = -1;
  std::string_view field{};
  std::string_view key{};  ///< the caller's name of list[index]; empty: the index itself

  Subject(const char* text) : name(text) {}  // NOLINT(google-explicit-constructor): check.shape("points", ...)
  /// list[i].member; without a list, as in an operator with one stream, just the member.
  Subject(const char* list, std::size_t i, std::string_view key_of_i, const char* member)
      : name(list != nullptr ? list : member), field(list != nullptr ? member : "") {
    if (list != nullptr) index = static_cast<int>(i), key = key_of_i;
  }
  [[nodiscard]] std::string text() const;
};

/// The argument checks of one call. Errors read `op: subject is <got>, expected <want>[; hint]`.
class Check {
 public:
  /// One expected dimension: a Dim to bind or compare, or a number.
  class Extent {
   public:
    Extent(Dim* dim) : dim_(dim) {}             // NOLINT(google-explicit-constructor)
    Extent(std::int64_t size) : size_(size) {}  // NOLINT(google-explicit-constructor)
    Extent(int size) : size_(size) {}           // NOLINT(google-explicit-constructor)
    [[nodiscard]] bool accept(std::int64_t size) const;
    [[nodiscard]] std::string text() const;

   private:
    Dim* dim_ = nullptr;
    std::int64_t size_ = -1;
  };

  constexpr explicit Check(std::string_view op) : op_(op) {}

  void shape(const Subject& subject, const ConstTensor& tensor, std::initializer_list<Extent> want) const;

  template <auto... Vs>
  void dtype(const Subject& subject, const ConstTensor& tensor, Values<Vs...> list) const {
    if (!contains(list, tensor.dtype)) wrong_dtype(subject, tensor, {Vs...});
  }
  void dtype(const Subject& subject, const ConstTensor& tensor, DType want) const {
    if (tensor.dtype != want) wrong_dtype(subject, tensor, {want});
  }
  void device(const Subject& subject, const ConstTensor& tensor, Device want) const;

  [[noreturn]] void fail(const Subject& subject, std::string_view got, std::string_view want,
                         std::string_view hint = {}) const;
  [[noreturn]] void unsupported(const Subject& subject, std::string_view got, std::string_view want,
                                std::string_view hint = {}) const;

  [[nodiscard]] std::string_view op() const { return op_; }

 private:
  [[noreturn]] void wrong_dtype(const Subject& subject, const ConstTensor& tensor,
                                std::initializer_list<DType> want) const;

  std::string_view op_;
};

/// "[8, 99]"
std::string shape_text(std::span<const std::int64_t> sizes);
std::string shape_text(const ConstTensor& tensor);

/// Throws Unsupported: the tensors are on CUDA and this build has no CUDA.
[[noreturn]] void no_cuda(std::string_view op);

}  // namespace robocache
