#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "io/source.hpp"

namespace robocache::io {

/// A file mapped into memory, for reading. It must not shrink while it is mapped: the system ends a process that reads
/// a page that is gone.
class MappedFile {
 public:
  /// Throws DataError: no such file, no right to read it, no regular file.
  explicit MappedFile(const std::string& path) : MappedFile(path, path) {}
  /// `name` is what errors call the file: a path may be bytes that are no text.
  MappedFile(const std::string& path, std::string name);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  [[nodiscard]] Source source() const noexcept { return {name_, {data_, size_}}; }

 private:
  std::string name_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace robocache::io
