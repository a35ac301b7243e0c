#include "io/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace robocache::io {

namespace {

[[noreturn]] void cannot_read(const std::string& name, const std::string& why) {
  throw DataError("open: " + name + " cannot be read: " + why);
}

[[noreturn]] void cannot_read(const std::string& name) { cannot_read(name, std::generic_category().message(errno)); }

/// Closes on every way out; the mapping outlives the descriptor. A pipe does not wait for a writer.
struct Descriptor {
  int number;
  explicit Descriptor(const std::string& path) : number(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

}  // namespace

MappedFile::MappedFile(const std::string& path, std::string name) : name_(std::move(name)) {
  const Descriptor file(path);
  if (file.number < 0) cannot_read(name_);
  struct stat info{};
  if (::fstat(file.number, &info) != 0) cannot_read(name_);
  if (!S_ISREG(info.st_mode)) cannot_read(name_, "it is no regular file");
  if (info.st_size == 0) return;  // mmap knows no empty mapping
  const auto size = static_cast<std::size_t>(info.st_size);
  void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.number, 0);
  if (mapped == MAP_FAILED) cannot_read(name_);
  data_ = static_cast<const std::byte*>(mapped);
  size_ = size;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace robocache::io
