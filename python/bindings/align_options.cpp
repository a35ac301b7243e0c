#include "align_options.hpp"

#include <nanobind/stl/string.h>

#include <string>

#include "robocache/error.hpp"

namespace robocache::python {

namespace nb = nanobind;

DataCheck to_check(std::string_view op, std::string_view text) {
  if (text == "auto") return DataCheck::automatic;
  if (text == "now") return DataCheck::now;
  if (text == "off") return DataCheck::off;
  throw InvalidArgument(std::string(op) + ": check is '" + std::string(text) + "', expected 'auto', 'now' or 'off'");
}

std::optional<DType> to_dtype_option(std::string_view op, const nb::object& dtype) {
  if (dtype.is_none()) return std::nullopt;
  nb::object label = dtype;
  if (!nb::isinstance<nb::str>(label)) label = nb::getattr(dtype, "__name__", nb::str(dtype));
  auto text = nb::cast<std::string>(nb::str(label));
  if (text.starts_with("torch.")) text.erase(0, 6);
  for (int i = 0; i <= static_cast<int>(DType::boolean); ++i) {
    if (text == name(static_cast<DType>(i))) return static_cast<DType>(i);
  }
  throw InvalidArgument(std::string(op) + ": dtype is " + text +
                        ", expected float64, float32, float16, bfloat16, an integer type or bool");
}

}  // namespace robocache::python
