#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "io/tfrecord/crc32c.hpp"
#include "io/tfrecord/example.hpp"
#include "io/tfrecord/framing.hpp"
#include "io/tfrecord_bytes.hpp"

namespace robocache::io::tfrecord {
namespace {

using test::source;

template <class F>
std::string damage(const F& f) {
  try {
    f();
  } catch (const DataError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

std::vector<float> floats_of(const Source& file, const Feature& feature) {
  std::vector<float> out(count_values(file, feature));
  read_floats(file, feature, out);
  return out;
}

std::vector<std::int64_t> ints_of(const Source& file, const Feature& feature) {
  std::vector<std::int64_t> out(count_values(file, feature));
  read_ints(file, feature, out);
  return out;
}

std::vector<std::string> strings_of(const Source& file, const Feature& feature) {
  std::vector<std::string> out;
  for (const auto value : read_bytes(file, feature)) {
    out.emplace_back(reinterpret_cast<const char*>(value.data()), value.size());
  }
  return out;
}

// --- checksums ---

TEST(Crc32c, KnownAnswers) {
  // RFC 3720, B.4
  EXPECT_EQ(crc32c(test::as_bytes(std::string(32, '\0'))), 0x8a9136aau);
  EXPECT_EQ(crc32c(test::as_bytes(std::string(32, '\xff'))), 0x62a8ab43u);
  EXPECT_EQ(crc32c(test::as_bytes("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(Crc32c, InstructionAndTableAreTheDefinition) {
  std::mt19937 random(1);
  std::string data;
  for (std::size_t size = 0; size < 100; ++size, data += static_cast<char>(random())) {
    for (std::size_t start = 0; start <= std::min<std::size_t>(size, 9); ++start) {
      const std::string_view part = std::string_view(data).substr(start);
      EXPECT_EQ(crc32c(test::as_bytes(part)), test::naive_crc32c(part)) << size << " " << start;
      EXPECT_EQ(crc32c_by_table(test::as_bytes(part)), test::naive_crc32c(part)) << size << " " << start;
    }
  }
}

// --- frames ---

TEST(TFRecord, ScanFindsEachRecord) {
  EXPECT_TRUE(scan(source("")).records.empty());
  const std::string file = test::frame("abc") + test::frame("") + test::frame(std::string(300, 'x'));
  const Scan found = scan(source(file));
  EXPECT_EQ(found.damage, "");
  ASSERT_EQ(found.records.size(), 3u);
  EXPECT_EQ(found.records[1].offset, 19u);
  EXPECT_EQ(found.records[2].offset, 35u);
  EXPECT_EQ(found.records[2].length, 300u);
  for (const Record& record : found.records) check_data(source(file), record.offset);
  EXPECT_EQ(data_at(source(file), 0).data(), source(file).bytes.data() + 12);
}

TEST(TFRecord, AFileCutAnywhereSaysWhere) {
  const std::string file = test::frame("abc") + test::frame("defgh");
  for (std::size_t size = 0; size < file.size(); ++size) {
    const std::string cut = file.substr(0, size);
    const Scan found = scan(source(cut));
    const std::size_t whole = size < 19 ? 0 : 1;
    EXPECT_EQ(found.records.size(), whole) << size;
    if (size == 0 || size == 19) {
      EXPECT_EQ(found.damage, "");
      continue;
    }
    const std::string where =
        "tfrecord: a.tfrecord at byte " + std::to_string(whole * 19) + ": record is cut off after ";
    EXPECT_EQ(found.damage.substr(0, where.size()), where) << size;
  }
  EXPECT_EQ(damage([&] { static_cast<void>(data_at(source(file), 40)); }),
            "tfrecord: a.tfrecord at byte 40: record is cut off after 0 bytes, expected a header of 12");
  EXPECT_NE(damage([&] { static_cast<void>(data_at(source(file), ~std::uint64_t{0})); }).find("cut off"),
            std::string::npos);
}

TEST(TFRecord, EveryFlippedBitIsFound) {
  const std::string file = test::frame("abc");
  for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
    std::string flipped = file;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const std::string text = damage([&] { check_data(source(flipped), 0); });
    const char* const of = bit / 8 < 12 ? "checksum of the length" : "checksum of the data";
    EXPECT_EQ(text.find(std::string("tfrecord: a.tfrecord at byte 0: ") + of), 0u) << bit << " " << text;
    EXPECT_EQ(scan(source(flipped)).damage.empty(), bit / 8 >= 12) << bit;
  }
}

TEST(TFRecord, ALengthBeyondTheFileDoesNotWrapAround) {
  for (const std::uint64_t length : {std::uint64_t{4}, std::uint64_t{1} << 40, ~std::uint64_t{0}, ~std::uint64_t{15}}) {
    const std::string header = test::fixed(length, 8);
    const std::string file = header + test::masked(header) + "abc" + "crc!";
    EXPECT_EQ(scan(source(file)).damage,
              "tfrecord: a.tfrecord at byte 0: record is cut off after 19 bytes, expected a "
              "header, " +
                  std::to_string(length) + " of data and a checksum");
  }
}

// --- Examples ---

TEST(TFExample, ListsOfEachKind) {
  constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
  const std::string file = test::example({{"f", test::floats({1.5f, -2.0f, 3.0f})},
                                          {"i", test::ints({0, 1, -1, 300, kLowest})},
                                          {"s", test::strings({"one", "", "three"})},
                                          {"f1", test::floats({4.0f, 5.0f}, false)},
                                          {"i1", test::ints({7, -7}, false)},
                                          {"empty", ""},
                                          {"no floats", test::floats({})}});
  const Source all = source(file);
  const std::vector<Feature> features = parse_example(all, all.bytes);
  ASSERT_EQ(features.size(), 7u);
  EXPECT_EQ(features[0].key, "f");
  EXPECT_EQ(floats_of(all, features[0]), (std::vector<float>{1.5f, -2.0f, 3.0f}));
  EXPECT_EQ(ints_of(all, features[1]), (std::vector<std::int64_t>{0, 1, -1, 300, kLowest}));
  EXPECT_EQ(strings_of(all, features[2]), (std::vector<std::string>{"one", "", "three"}));
  EXPECT_EQ(floats_of(all, features[3]), (std::vector<float>{4.0f, 5.0f}));
  EXPECT_EQ(ints_of(all, features[4]), (std::vector<std::int64_t>{7, -7}));
  EXPECT_EQ(features[5].kind, ListKind::none);
  EXPECT_EQ(count_values(all, features[5]), 0u);
  EXPECT_TRUE(floats_of(all, features[5]).empty());
  EXPECT_TRUE(floats_of(all, features[6]).empty());
  EXPECT_EQ(count_values(all, features[2]), 3u);
  EXPECT_TRUE(parse_example(all, {}).empty());
}

TEST(TFExample, TheLastOfAKeyCountsAndUnknownFieldsAreSkipped) {
  const std::string known = test::example({{"k", test::ints({1})}});
  const std::string unknown = test::field(9, 0, test::varint(5)) + test::field(9, 1, test::fixed(0, 8)) +
                              test::field(9, 5, test::fixed(0, 4)) + test::chunk(9, "later");
  const std::string file = unknown + known + test::example({{"k", test::floats({2.0f})}}) + unknown;
  const std::vector<Feature> features = parse_example(source(file), source(file).bytes);
  ASSERT_EQ(features.size(), 1u);
  EXPECT_EQ(floats_of(source(file), features[0]), std::vector<float>{2.0f});
}

TEST(TFExample, ManyKeysTakeNoLongerThanTheyAreMany) {
  std::string map;
  for (std::uint64_t key = 0; key < 100'000; ++key) map += test::chunk(1, test::chunk(1, test::fixed(key % 99'999, 4)));
  const std::string file = test::chunk(1, map);
  EXPECT_EQ(parse_example(source(file), source(file).bytes).size(), 99'999u);
}

TEST(TFExample, DamageNamesTheByte) {
  const auto parsed = [](const std::string& file) {
    return damage([&] {
      for (const Feature& feature : parse_example(source(file), source(file).bytes)) {
        static_cast<void>(count_values(source(file), feature));
      }
    });
  };
  const std::string at = "tfrecord: a.tfrecord at byte ";
  EXPECT_EQ(parsed(test::field(1, 2, test::varint(50)) + "abc"),
            at + "2: message ends after 3 bytes, expected 50 more");
  EXPECT_EQ(parsed(test::field(1, 2, test::varint(~std::uint64_t{0}))),
            at + "11: message ends after 0 bytes, expected 18446744073709551615 more");
  EXPECT_EQ(parsed(std::string(11, '\xff')), at + "10: varint is longer than 64 bits");
  EXPECT_EQ(parsed(test::field(1, 3, "")), at + "1: wire type is 3, expected 0, 1, 2 or 5");
  EXPECT_EQ(parsed(test::chunk(0, "")), at + "1: field number is 0, expected 1 or more");
  EXPECT_EQ(parsed(test::example({{"k", test::chunk(2, test::chunk(1, "abc"))}})),
            at + "16: packed floats end here after 3 bytes, expected a multiple of 4");
}

/// `--gtest_shuffle --gtest_repeat=N` tries other mutations in each round.
std::mt19937_64 mutations() {
  return std::mt19937_64(static_cast<std::uint64_t>(testing::UnitTest::GetInstance()->random_seed()));
}

// Whatever the bytes are: an answer or a DataError. Checksums are left aside, or nothing would get past them.
TEST(TFExample, MutatedRecordsNeverCrash) {
  const std::string whole = test::example({{"steps/action", test::floats({1, 2, 3, 4, 5, 6})},
                                           {"steps/is_first", test::ints({1, 0, 0})},
                                           {"steps/language_instruction", test::strings({"go", "", "stop"})},
                                           {"steps/reward", test::floats({0, 1}, false)},
                                           {"steps/step", test::ints({-1, 5000}, false)}});
  std::mt19937_64 random = mutations();
  std::size_t damaged = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string file = whole;
    for (std::size_t left = 1 + random() % 4; left > 0; --left) {
      file[random() % file.size()] = static_cast<char>(random());
    }
    if (round % 5 == 0) file.resize(random() % file.size());
    // Of its own size, so that AddressSanitizer sees the first byte beyond.
    const std::vector<char> exact(file.begin(), file.end());
    const Source all = source({exact.data(), exact.size()});
    try {
      for (const Feature& feature : parse_example(all, all.bytes)) {
        if (feature.kind == ListKind::floats) floats_of(all, feature);
        if (feature.kind == ListKind::ints) ints_of(all, feature);
        if (feature.kind == ListKind::bytes) strings_of(all, feature);
      }
    } catch (const DataError&) {
      ++damaged;
    }
  }
  EXPECT_GT(damaged, 70'000u);
}

TEST(TFRecord, MutatedFilesNeverCrash) {
  const std::string whole = test::frame("abc") + test::frame("") + test::frame("defghijkl");
  std::mt19937_64 random = mutations();
  std::size_t damaged = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::vector<char> file(whole.begin(), whole.end());
    const std::size_t at = random() % file.size();
    file[at] = static_cast<char>(file[at] ^ (1 << (random() % 8)));
    if (round % 3 == 0) file.resize(random() % file.size());
    const Source all = source({file.data(), file.size()});
    const Scan found = scan(all);
    bool bad = !found.damage.empty();
    for (const Record& record : found.records) bad |= damage([&] { check_data(all, record.offset); })[0] == 't';
    damaged += bad ? 1 : 0;
    EXPECT_TRUE(bad || file.size() < whole.size());
  }
  EXPECT_GT(damaged, 90'000u);
}

}  // namespace
}  // namespace robocache::io::tfrecord
