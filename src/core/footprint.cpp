#include "core/footprint.hpp"

namespace robocache {

Footprint::Footprint(const ConstTensor& tensor) : begin(reinterpret_cast<std::uintptr_t>(tensor.data)), end(begin) {
  const std::int64_t count = tensor.numel();
  if (tensor.data == nullptr || count == 0) return;
  const auto size = static_cast<std::int64_t>(size_of(tensor.dtype));
  std::int64_t below = 0;  // elements
  std::int64_t above = 0;
  bool repeats = false;
  for (int i = 0; i < tensor.rank; ++i) {
    repeats = repeats || (tensor.strides[i] == 0 && tensor.shape[i] > 1);
    const std::int64_t reach = (tensor.shape[i] - 1) * tensor.strides[i];
    (reach < 0 ? below : above) += reach;
  }
  begin += static_cast<std::uintptr_t>(below * size);
  end += static_cast<std::uintptr_t>((above + 1) * size);
  has_gaps = repeats || above - below + 1 != count;
}

}  // namespace robocache
