#include "io/tfrecord/example.hpp"

#include <bit>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>

#include "io/tfrecord/wire.hpp"

namespace robocache::io::tfrecord {

namespace {

/// Calls `found(field, chunk)` for each field that holds bytes, and passes over the others.
template <class F>
void for_each_chunk(const Source& file, std::span<const std::byte> message, F&& found) {
  Cursor cursor(file, message);
  while (!cursor.done()) {
    const Tag tag = cursor.tag();
    if (tag.wire == Wire::chunk) {
      found(tag.field, cursor.chunk());
    } else {
      cursor.skip(tag.wire);
    }
  }
}

Feature parse_entry(const Source& file, std::span<const std::byte> entry) {
  Feature feature;
  for_each_chunk(file, entry, [&](std::uint64_t field, std::span<const std::byte> chunk) {
    if (field == 1) feature.key = {reinterpret_cast<const char*>(chunk.data()), chunk.size()};
    if (field != 2) return;
    for_each_chunk(file, chunk, [&](std::uint64_t kind, std::span<const std::byte> list) {
      if (kind < 1 || kind > 3) return;
      feature.kind = static_cast<ListKind>(kind);
      feature.list = list;
    });
  });
  return feature;
}

void expect(const Feature& feature, ListKind kind) {
  if (feature.kind != kind && feature.kind != ListKind::none) {
    throw std::logic_error("tfrecord: the list of '" + std::string(feature.key) + "' is of another kind");
  }
}

template <class F>
void for_each_int(const Source& file, const Feature& feature, F&& found) {
  Cursor cursor(file, feature.list);
  while (!cursor.done()) {
    const Tag tag = cursor.tag();
    if (tag.field == 1 && tag.wire == Wire::varint) {
      found(cursor.varint());
    } else if (tag.field == 1 && tag.wire == Wire::chunk) {
      Cursor packed(file, cursor.chunk());
      while (!packed.done()) found(packed.varint());
    } else {
      cursor.skip(tag.wire);
    }
  }
}

/// Calls `found(bytes)` for each run of packed floats; one that stands alone is a run of one.
template <class F>
void for_each_float_run(const Source& file, const Feature& feature, F&& found) {
  Cursor cursor(file, feature.list);
  while (!cursor.done()) {
    const Tag tag = cursor.tag();
    if (tag.field == 1 && tag.wire == Wire::fixed32) {
      const std::uint32_t bits = cursor.fixed32();
      std::byte bytes[4];
      for (unsigned i = 0; i < 4; ++i) bytes[i] = static_cast<std::byte>(bits >> (8 * i));
      found(std::span<const std::byte>(bytes));
    } else if (tag.field == 1 && tag.wire == Wire::chunk) {
      const std::span<const std::byte> run = cursor.chunk();
      if (run.size() % 4 != 0) {
        cursor.fail("packed floats end here after " + std::to_string(run.size()) + " bytes, expected a multiple of 4");
      }
      found(run);
    } else {
      cursor.skip(tag.wire);
    }
  }
}

}  // namespace

std::vector<Feature> parse_example(const Source& file, std::span<const std::byte> data) {
  std::vector<Feature> features;
  std::map<std::string_view, std::size_t> places;  // a search in `features` for each of a million keys takes hours
  for_each_chunk(file, data, [&](std::uint64_t field, std::span<const std::byte> map) {
    if (field != 1) return;
    for_each_chunk(file, map, [&](std::uint64_t entry_field, std::span<const std::byte> entry) {
      if (entry_field != 1) return;
      const Feature feature = parse_entry(file, entry);
      const auto [place, is_new] = places.try_emplace(feature.key, features.size());
      if (is_new) {
        features.push_back(feature);
      } else {
        features[place->second] = feature;
      }
    });
  });
  return features;
}

std::size_t count_values(const Source& file, const Feature& feature) {
  std::size_t count = 0;
  switch (feature.kind) {
    case ListKind::none:
      break;
    case ListKind::bytes:
      for_each_chunk(file, feature.list, [&](std::uint64_t field, auto) { count += field == 1 ? 1 : 0; });
      break;
    case ListKind::floats:
      for_each_float_run(file, feature, [&](std::span<const std::byte> run) { count += run.size() / 4; });
      break;
    case ListKind::ints:
      for_each_int(file, feature, [&](std::uint64_t) { ++count; });
      break;
  }
  return count;
}

std::vector<std::span<const std::byte>> read_bytes(const Source& file, const Feature& feature) {
  expect(feature, ListKind::bytes);
  std::vector<std::span<const std::byte>> values;
  for_each_chunk(file, feature.list, [&](std::uint64_t field, std::span<const std::byte> value) {
    if (field == 1) values.push_back(value);
  });
  return values;
}

void read_floats(const Source& file, const Feature& feature, std::span<float> out) {
  static_assert(std::endian::native == std::endian::little, "the file is little-endian");
  expect(feature, ListKind::floats);
  std::size_t done = 0;
  for_each_float_run(file, feature, [&](std::span<const std::byte> run) {
    if (run.empty()) return;  // its pointer may be null, which memcpy does not take
    if (run.size() / 4 > out.size() - done) throw std::logic_error("tfrecord: fewer places than floats");
    std::memcpy(out.data() + done, run.data(), run.size());
    done += run.size() / 4;
  });
}

void read_ints(const Source& file, const Feature& feature, std::span<std::int64_t> out) {
  expect(feature, ListKind::ints);
  std::size_t done = 0;
  for_each_int(file, feature, [&](std::uint64_t value) {
    if (done == out.size()) throw std::logic_error("tfrecord: fewer places than integers");
    out[done++] = static_cast<std::int64_t>(value);
  });
}

}  // namespace robocache::io::tfrecord
