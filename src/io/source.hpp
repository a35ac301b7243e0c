#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "robocache/error.hpp"

namespace robocache::io {

/// The bytes of a file, with the name that errors give it. Views: the owner outlives them.
struct Source {
  std::string_view name;
  std::span<const std::byte> bytes;

  /// Throws DataError: "tfrecord: NAME at byte 4096: what".
  [[noreturn]] void fail(std::string_view format, std::size_t offset, std::string_view what) const {
    std::string text(format);
    text.append(": ").append(name).append(" at byte ").append(std::to_string(offset)).append(": ").append(what);
    throw DataError(text);
  }
};

}  // namespace robocache::io
