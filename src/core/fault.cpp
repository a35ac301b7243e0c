#include "core/fault.hpp"

namespace robocache {

Fault Fault::decode(std::uint64_t word) noexcept {
  Fault fault;
  fault.code = static_cast<Code>(word & 0xf);
  fault.item = word >> 4 & 0xffffff;
  fault.row = word >> 28 & 0xffffff;
  fault.stream = static_cast<std::uint32_t>(word >> 52);
  return fault;
}

std::string describe(std::string_view op, const Fault& fault, std::string_view stream) {
  // Positions saturate at 24 bits.
  const auto position = [](std::uint64_t at) { return std::to_string(at) + (at == 0xffffff ? " or later" : ""); };
  const std::string row = position(fault.row);
  const std::string item = position(fault.item);
  const std::string subject = std::string(op) + ": " + std::string(stream);
  switch (fault.code) {
    case Fault::Code::stamps:
      return subject + "stamps is decreasing or NaN at row " + row + ", sample " + item + ", expected non-decreasing";
    case Fault::Code::length:
      return subject + "lengths is negative or longer than the samples for row " + row + ", expected 0 <= length <= S";
    case Fault::Code::offsets:
      return subject + "offsets is decreasing or outside the samples for row " + row +
             ", expected 0 <= offsets[g] <= offsets[g + 1] <= N";
    case Fault::Code::rows:
      return subject + "rows is not a segment at row " + row + ", expected 0 <= rows[b] < G";
    case Fault::Code::outside:
      return std::string(op) + ": at is outside the range of " +
             (stream.empty() ? "the samples" : std::string(stream.substr(0, stream.size() - 1))) + " at row " + row +
             ", target " + item + ", expected inside; the outside policy is 'error'";
    case Fault::Code::none:
      break;
  }
  return std::string(op) + ": no fault";
}

}  // namespace robocache
