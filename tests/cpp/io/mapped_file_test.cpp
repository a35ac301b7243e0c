#include "io/mapped_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace robocache::io {
namespace {

std::string why_not(const std::string& path) {
  try {
    const MappedFile file(path);
  } catch (const DataError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(MappedFile, HasTheBytesOfTheFile) {
  const std::string path = testing::TempDir() + "mapped_file_test";
  std::ofstream(path, std::ios::binary) << "content";
  const MappedFile file(path);
  const Source source = file.source();
  EXPECT_EQ(source.name, path);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(source.bytes.data()), source.bytes.size()), "content");
  std::filesystem::remove(path);
  EXPECT_EQ(source.bytes[6], std::byte{'t'});  // the mapping holds the file
}

TEST(MappedFile, AnEmptyFileIsNoError) {
  const std::string path = testing::TempDir() + "mapped_file_test_empty";
  std::ofstream(path).flush();
  EXPECT_TRUE(MappedFile(path).source().bytes.empty());
  std::filesystem::remove(path);
}

TEST(MappedFile, WhatCannotBeReadIsNamed) {
  EXPECT_EQ(why_not("nowhere/file"), "open: nowhere/file cannot be read: No such file or directory");
  EXPECT_EQ(why_not("/"), "open: / cannot be read: it is no regular file");
}

TEST(MappedFile, APipeIsNotWaitedFor) {
  const std::string path = testing::TempDir() + "mapped_file_test_pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(why_not(path), "open: " + path + " cannot be read: it is no regular file");
  std::filesystem::remove(path);
}

TEST(MappedFile, HasTheNameThatItIsGiven) {
  const std::string path = testing::TempDir() + "mapped_file_test_\xff";
  std::ofstream(path, std::ios::binary) << "content";
  EXPECT_EQ(MappedFile(path, "a name").source().name, "a name");
  EXPECT_EQ(MappedFile(path, "a name").source().bytes.size(), 7);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace robocache::io
