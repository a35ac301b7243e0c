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

std::string describe(std::string_view op, const Fault& fault, std::string_view name) {
  const std::string key = name.empty() ? std::to_string(fault.stream) : "'" + std::string(name) + "'";
  const std::string stream = std::string(op) + ": streams[" + key + "].";
  const std::string row = std::to_string(fault.row);
  const std::string item = std::to_string(fault.item);
  switch (fault.code) {
    case Fault::Code::stamps:
      return stream + "stamps is decreasing or NaN at row " + row + ", sample " + item + ", expected non-decreasing";
    case Fault::Code::length:
      return stream + "lengths is negative or longer than the samples for row " + row + ", expected 0 <= length <= S";
    case Fault::Code::offsets:
      return stream + "offsets is decreasing or outside the samples for row " + row +
             ", expected 0 <= offsets[g] <= offsets[g + 1] <= N";
    case Fault::Code::rows:
      return stream + "rows is not a segment at row " + row + ", expected 0 <= rows[b] < G";
    case Fault::Code::outside:
      return std::string(op) + ": at is outside the range of streams[" + key + "] at row " + row + ", target " + item +
             ", expected inside; its outside policy is 'error'";
    case Fault::Code::none:
      break;
  }
  return std::string(op) + ": no fault";
}

}  // namespace robocache
