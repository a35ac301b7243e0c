#pragma once

#include <nanobind/nanobind.h>

#include <optional>
#include <string_view>

#include "robocache/data_check.hpp"
#include "robocache/dtype.hpp"

// Options of the alignment functions, as Python gives them.
namespace robocache::python {

/// 'auto', 'now' or 'off'.
DataCheck to_check(std::string_view op, std::string_view text);

/// A dtype given as a name, or as a numpy, torch or jax dtype object; None is no wish.
std::optional<DType> to_dtype_option(std::string_view op, const nanobind::object& dtype);

}  // namespace robocache::python
