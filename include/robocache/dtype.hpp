#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace robocache {

/// Element types of a Tensor. f16 and bf16 are storage types: arithmetic on them is f32.
enum class DType : std::uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

constexpr std::size_t size_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::f64:
    case DType::i64:
    case DType::u64:
      return 8;
    case DType::f32:
    case DType::i32:
    case DType::u32:
      return 4;
    case DType::f16:
    case DType::bf16:
    case DType::i16:
    case DType::u16:
      return 2;
    case DType::i8:
    case DType::u8:
    case DType::boolean:
      return 1;
  }
  return 0;
}

constexpr bool is_float(DType dtype) noexcept { return dtype <= DType::bf16; }

constexpr std::string_view name(DType dtype) noexcept {
  constexpr std::string_view names[] = {"float64", "float32", "float16", "bfloat16", "int64", "int32", "int16",
                                        "int8",    "uint64",  "uint32",  "uint16",   "uint8", "bool"};
  return names[static_cast<std::size_t>(dtype)];
}

}  // namespace robocache
