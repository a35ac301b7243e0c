#include "robocache/store.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/store_data.hpp"
#include "robocache/error.hpp"

namespace robocache {
namespace {

using store_testing::at_rate;
using store_testing::expect_error;
using store_testing::Stamps;

/// Keeps the arrays of one episode.
class EpisodeData {
 public:
  template <class T>
  EpisodeData& add(const std::vector<T>& values, std::int64_t width, DType dtype, const Stamps& stamps) {
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    const auto& kept = bytes_.emplace_back(bytes, bytes + values.size() * sizeof(T));
    const auto& times = stamps_.emplace_back(stamps);
    const auto samples = static_cast<std::int64_t>(stamps.size());
    streams_.push_back({{kept.data(), dtype, {samples, width}}, {times.data(), DType::i64, {samples}}});
    return *this;
  }
  /// Zeros [S, width] f32.
  EpisodeData& add(std::int64_t width, const Stamps& stamps) {
    return add(std::vector<float>(stamps.size() * static_cast<std::size_t>(width)), width, DType::f32, stamps);
  }

  [[nodiscard]] std::vector<EpisodeStream>& streams() { return streams_; }

 private:
  std::deque<std::vector<std::byte>> bytes_;
  std::deque<Stamps> stamps_;
  std::vector<EpisodeStream> streams_;
};

template <class T>
std::vector<T> elements(const ConstTensor& tensor) {
  const T* data = static_cast<const T*>(tensor.data);
  return {data, data + tensor.numel()};
}

StoreStream stream(std::string name, std::vector<std::int64_t> shape = {1}, double rate_hz = 0) {
  return {.name = std::move(name), .dtype = DType::f32, .shape = std::move(shape), .rate_hz = rate_hz};
}

/// Bytes of values and stamps themselves.
std::size_t raw_bytes(const Store& store) {
  std::size_t bytes = 0;
  for (const Store::Column& column : store.columns()) {
    bytes += static_cast<std::size_t>(column.values.numel()) * size_of(column.values.dtype);
  }
  for (const Store::Clock& clock : store.clocks()) {
    bytes += static_cast<std::size_t>(clock.stamps_ns.numel()) * sizeof(std::int64_t);
  }
  return bytes;
}

TEST(Store, HoldsWhatWasAppended) {
  StoreBuilder builder({{.name = "state", .dtype = DType::f64, .shape = {2}, .rate_hz = 10},
                        {.name = "done", .dtype = DType::boolean, .shape = {1}, .rate_hz = 10},
                        {.name = "imu", .dtype = DType::i16, .shape = {3, 1}}});
  EpisodeData first, second;
  first.add<double>({1, 2, 3, 4}, 2, DType::f64, {0, 100'000'000})
      .add<std::uint8_t>({0, 1}, 1, DType::boolean, {0, 100'000'000})
      .add<std::int16_t>({1, 2, 3}, 3, DType::i16, {7});
  second.add<double>({5, 6}, 2, DType::f64, {50}).add<std::uint8_t>({1}, 1, DType::boolean, {50});
  second.add<std::int16_t>({4, 5, 6, 7, 8, 9}, 3, DType::i16, {-5, -5});
  builder.append(12, first.streams());
  builder.append(3, second.streams());
  const std::shared_ptr<const Store> store = builder.finish();

  ASSERT_EQ(store->episodes(), 2);
  EXPECT_EQ(store->episode_index()[0], 12);
  EXPECT_EQ(store->episode_index()[1], 3);
  ASSERT_EQ(store->columns().size(), 3u);
  const auto columns = store->columns();
  EXPECT_EQ(columns[0].stream.name, "state");
  EXPECT_EQ(elements<double>(columns[0].values), (std::vector<double>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(elements<std::uint8_t>(columns[1].values), (std::vector<std::uint8_t>{0, 1, 1}));
  EXPECT_EQ(elements<std::int16_t>(columns[2].values), (std::vector<std::int16_t>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(columns[2].values.shape[0], 3);
  EXPECT_EQ(columns[2].values.shape[1], 3);
  ASSERT_EQ(store->clocks().size(), 2u);
  EXPECT_EQ(columns[0].clock, columns[1].clock);
  const Store::Clock& state = store->clocks()[static_cast<std::size_t>(columns[0].clock)];
  const Store::Clock& imu = store->clocks()[static_cast<std::size_t>(columns[2].clock)];
  EXPECT_EQ(elements<std::int64_t>(state.stamps_ns), (Stamps{0, 100'000'000, 50}));
  EXPECT_EQ(elements<std::int64_t>(state.offsets), (Stamps{0, 2, 3}));
  EXPECT_EQ(state.rate_hz, 10);
  EXPECT_EQ(elements<std::int64_t>(imu.stamps_ns), (Stamps{7, -5, -5}));
  EXPECT_EQ(elements<std::int64_t>(imu.offsets), (Stamps{0, 1, 3}));
  EXPECT_EQ(imu.rate_hz, 0);
}

TEST(Store, ClocksSplitWhenAnEpisodeShowsADifference) {
  StoreBuilder builder({stream("a"), stream("b"), stream("c"), stream("d")});
  EpisodeData same, two, again;
  same.add(1, {1, 2}).add(1, {1, 2}).add(1, {1, 2}).add(1, {1, 2});
  two.add(1, {3}).add(1, {4}).add(1, {3}).add(1, {4, 5});
  again.add(1, {6}).add(1, {6}).add(1, {6}).add(1, {6});
  builder.append(0, same.streams());
  builder.append(1, two.streams());
  builder.append(2, again.streams());
  const auto store = builder.finish();
  ASSERT_EQ(store->clocks().size(), 3u);
  const auto clock = [&](std::size_t i) {
    return store->clocks()[static_cast<std::size_t>(store->columns()[i].clock)];
  };
  EXPECT_EQ(store->columns()[0].clock, store->columns()[2].clock);
  EXPECT_EQ(elements<std::int64_t>(clock(0).stamps_ns), (Stamps{1, 2, 3, 6}));
  EXPECT_EQ(elements<std::int64_t>(clock(1).stamps_ns), (Stamps{1, 2, 4, 6}));
  EXPECT_EQ(elements<std::int64_t>(clock(3).stamps_ns), (Stamps{1, 2, 4, 5, 6}));
  EXPECT_EQ(elements<std::int64_t>(clock(3).offsets), (Stamps{0, 2, 4, 5}));
}

TEST(Store, StreamsShareAClockWhereAllTheirEpisodesAreAlikeAndOnlyThere) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const std::size_t count = 1 + random() % 6;
    std::vector<StoreStream> streams;
    for (std::size_t i = 0; i < count; ++i) streams.push_back(stream(std::to_string(i)));
    StoreBuilder builder(streams);
    std::vector<Stamps> all(count), ends(count, Stamps{0});
    for (std::int64_t e = 0; e < static_cast<std::int64_t>(random() % 6); ++e) {
      EpisodeData episode;
      for (std::size_t i = 0; i < count; ++i) {
        // Mostly alike; else one sample later, or one sample fewer.
        const std::uint32_t kind = random() % 8;
        Stamps stamps{10 * e, 10 * e + 1, kind == 1 ? 10 * e + 3 : 10 * e + 2};
        if (kind == 2) stamps.pop_back();
        episode.add(1, stamps);
        all[i].insert(all[i].end(), stamps.begin(), stamps.end());
        ends[i].push_back(static_cast<std::int64_t>(all[i].size()));
      }
      builder.append(e, episode.streams());
    }
    const auto store = builder.finish();
    for (std::size_t i = 0; i < count; ++i) {
      const Store::Column& column = store->columns()[i];
      const Store::Clock& clock = store->clocks()[static_cast<std::size_t>(column.clock)];
      ASSERT_EQ(elements<std::int64_t>(clock.stamps_ns), all[i]) << round;
      ASSERT_EQ(elements<std::int64_t>(clock.offsets), ends[i]) << round;
      ASSERT_EQ(column.values.shape[0], ends[i].back()) << round;
      for (std::size_t j = 0; j < i; ++j) {
        ASSERT_EQ(store->columns()[j].clock == column.clock, all[j] == all[i] && ends[j] == ends[i]) << round;
      }
    }
  }
}

double rate_of(const std::vector<StoreStream>& streams, const std::vector<Stamps>& episodes) {
  StoreBuilder builder(streams);
  std::deque<EpisodeData> kept;
  for (const Stamps& stamps : episodes) {
    EpisodeData& episode = kept.emplace_back();
    for (std::size_t i = 0; i < streams.size(); ++i) episode.add(1, stamps);
    builder.append(0, episode.streams());
  }
  return builder.finish()->clocks()[0].rate_hz;
}

TEST(Store, ARateIsKeptWhereEveryEpisodeHasIt) {
  const auto shifted = [](Stamps stamps, std::size_t i, std::int64_t by_ns) {
    stamps[i] += by_ns;
    return stamps;
  };
  const double ntsc = 30000.0 / 1001.0;
  EXPECT_EQ(rate_of({stream("a", {1}, 30)}, {at_rate(100, 30), at_rate(50, 30, 1'700'000'000'000'000'000), {}}), 30);
  EXPECT_EQ(rate_of({stream("a", {1}, ntsc)}, {at_rate(100'000, ntsc, -5)}), ntsc);
  EXPECT_EQ(rate_of({stream("a", {1}, 30)}, {shifted(at_rate(100, 30), 70, 1)}), 30);
  EXPECT_EQ(rate_of({stream("a", {1}, 30)}, {shifted(at_rate(100, 30), 70, -2)}), 0);
  EXPECT_EQ(rate_of({stream("a", {1}, 30)}, {at_rate(100, 30), shifted(at_rate(100, 30), 99, 2)}), 0);
  EXPECT_EQ(rate_of({stream("a", {1}, 30)}, {at_rate(100, 29.97)}), 0);
  EXPECT_EQ(rate_of({stream("a")}, {at_rate(100, 30)}), 0) << "none is claimed";
  EXPECT_EQ(rate_of({stream("a"), stream("b", {1}, 30)}, {at_rate(100, 30)}), 30);
  EXPECT_EQ(rate_of({stream("a", {1}, 50), stream("b", {1}, 30)}, {at_rate(1, 30)}), 0) << "two are claimed";
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(rate_of({stream("a", {1}, 30)}, {{-most, most}}), 0);
}

TEST(Store, TakesNothingAtAll) {
  StoreBuilder builder({stream("a", {0}), stream("b", {2, 0, 3}), stream("scalar", {}), stream("c", {3})});
  auto store = builder.finish();
  EXPECT_EQ(store->episodes(), 0);
  EXPECT_EQ(elements<std::int64_t>(store->clocks()[0].offsets), Stamps{0});
  EXPECT_EQ(store->columns()[3].values.shape[0], 0);
  EXPECT_EQ(store->columns()[3].values.shape[1], 3);
  EpisodeData empty, some;
  empty.add(0, {}).add(0, {}).add(1, {}).add(3, {});
  some.add(0, {1, 2}).add(0, {1, 2}).add(1, {1, 2}).add(3, {1, 2});
  for (const std::int64_t index : {4, 5}) builder.append(index, empty.streams());
  builder.append(6, some.streams());
  store = builder.finish();
  EXPECT_EQ(elements<std::int64_t>(store->clocks()[0].offsets), (Stamps{0, 0, 0, 2}));
  EXPECT_EQ(store->columns()[0].values.shape[0], 2);
  EXPECT_EQ(store->columns()[0].values.numel(), 0);
  EXPECT_EQ(store->columns()[2].values.numel(), 2);
}

TEST(Store, CopiesRowsAndStampsOfAnyPitch) {
  StoreBuilder builder({stream("a", {2})});
  const std::vector<float> values{1, 2, 0, 3, 4, 0, 5, 6, 0};
  const Stamps stamps{1, 9, 2, 9, 3, 9};
  EpisodeStream pitched{{values.data(), DType::f32, {3, 2}}, {stamps.data(), DType::i64, {3}}};
  pitched.values.strides[0] = 3;
  pitched.stamps_ns.strides[0] = 2;
  EpisodeStream shared = pitched;
  shared.values.strides[0] = 0;
  EpisodeStream backwards = pitched;
  backwards.values.data = &values[6];
  backwards.values.strides[0] = -3;
  for (const EpisodeStream& episode : {pitched, shared, backwards}) builder.append(0, {&episode, 1});
  const auto store = builder.finish();
  EXPECT_EQ(elements<float>(store->columns()[0].values),
            (std::vector<float>{1, 2, 3, 4, 5, 6, 1, 2, 1, 2, 1, 2, 5, 6, 3, 4, 1, 2}));
  EXPECT_EQ(elements<std::int64_t>(store->clocks()[0].stamps_ns), (Stamps{1, 2, 3, 1, 2, 3, 1, 2, 3}));
}

TEST(Store, ManySmallAppendsTakeLittleMoreThanTheirBytes) {
  StoreBuilder builder({stream("state", {14}), stream("action", {7}), stream("done", {1})});
  std::mt19937 random(1);
  std::vector<float> all;
  std::int64_t now = 0;
  for (int e = 0; e < 5000; ++e) {
    EpisodeData episode;
    Stamps stamps(random() % 20);
    for (std::int64_t& stamp : stamps) stamp = ++now;
    std::vector<float> values(stamps.size() * 14);
    for (float& value : values) value = static_cast<float>(random());
    all.insert(all.end(), values.begin(), values.end());
    episode.add(values, 14, DType::f32, stamps).add(7, stamps).add(1, stamps);
    builder.append(e, episode.streams());
  }
  const auto store = builder.finish();
  EXPECT_EQ(elements<float>(store->columns()[0].values), all);
  EXPECT_EQ(store->clocks().size(), 1u);
  EXPECT_EQ(store->memory().pinned, 0u);
  EXPECT_EQ(store->memory().device, 0u);
  const auto held = static_cast<double>(store->memory().host);
  EXPECT_GE(held, static_cast<double>(raw_bytes(*store)));
  EXPECT_LE(held, 1.05 * static_cast<double>(raw_bytes(*store)));
  for (const Store::Column& column : store->columns()) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(column.values.data) % 64, 0u);
  }
}

TEST(Store, AFailedAppendChangesNothing) {
  const auto build = [](bool with_failures) {
    StoreBuilder builder({stream("a", {2}), stream("b")});
    EpisodeData first, last;
    first.add(std::vector<float>{1, 2, 3, 4}, 2, DType::f32, {1, 2}).add(1, {1, 2});
    last.add(std::vector<float>{5, 6}, 2, DType::f32, {3}).add(1, {3});
    builder.append(1, first.streams());
    if (with_failures) {
      EpisodeData falling, different;
      falling.add(2, {3}).add(1, {5, 4});
      expect_error<DataError>("stamps_ns of stream 'b' in episode 7 is 4 at sample 1, expected at least the 5 before",
                              [&] { builder.append(7, falling.streams()); });
      different.add(2, {3}).add(1, {9});
      different.streams()[1].values.shape[0] = std::int64_t{1} << 46;
      different.streams()[1].stamps_ns.shape[0] = std::int64_t{1} << 46;
      different.streams()[1].values.strides[0] = 0;
      different.streams()[1].stamps_ns.strides[0] = 0;
      expect_error<OutOfMemory>("StoreBuilder: free memory is", [&] { builder.append(7, different.streams()); });
      different.streams()[1].values.shape[0] = std::int64_t{1} << 62;
      different.streams()[1].stamps_ns.shape[0] = std::int64_t{1} << 62;
      expect_error<OutOfMemory>("expected what memory can hold", [&] { builder.append(7, different.streams()); });
    }
    builder.append(2, last.streams());
    return builder.finish();
  };
  const auto want = build(false);
  const auto got = build(true);
  EXPECT_EQ(got->episodes(), 2);
  ASSERT_EQ(got->clocks().size(), 1u);
  EXPECT_EQ(elements<std::int64_t>(got->clocks()[0].offsets), (Stamps{0, 2, 3}));
  EXPECT_EQ(elements<std::int64_t>(got->clocks()[0].stamps_ns), (Stamps{1, 2, 3}));
  EXPECT_EQ(elements<float>(got->columns()[0].values), elements<float>(want->columns()[0].values));
  EXPECT_EQ(got->memory().host, want->memory().host);
}

TEST(Store, RefusesStreamsThatAreNone) {
  const auto refused = [](const std::string& text, std::vector<StoreStream> streams) {
    expect_error<InvalidArgument>(text, [&] { const StoreBuilder builder(std::move(streams)); });
  };
  const std::int64_t huge = std::int64_t{1} << 40;
  refused("streams is empty, expected at least one", {});
  refused("streams[1].name is empty, expected one", {stream("a"), stream("")});
  refused("streams[1].name is 'a' again", {stream("a"), stream("a")});
  refused("streams['a'].rate_hz is", {stream("a", {1}, -1)});
  refused("streams['a'].rate_hz is", {stream("a", {1}, std::numeric_limits<double>::quiet_NaN())});
  refused("streams['a'].rate_hz is", {stream("a", {1}, std::numeric_limits<double>::infinity())});
  refused("streams['a'].shape is [-1]", {stream("a", {-1})});
  refused("a sample that memory can hold", {stream("a", {huge, huge})});
  refused("at most 7 dimensions", {stream("a", {1, 1, 1, 1, 1, 1, 1, 1})});
}

TEST(Store, RefusesArraysThatDoNotFit) {
  StoreBuilder builder({stream("a", {2}), stream("b")});
  const auto refused = [&](const std::string& text, auto&& spoil) {
    EpisodeData episode;
    episode.add(2, {1, 2}).add(1, {1, 2});
    spoil(episode.streams());
    expect_error<InvalidArgument>(text, [&] { builder.append(0, episode.streams()); });
  };
  using Streams = std::vector<EpisodeStream>;
  refused("StoreBuilder: streams is 1 arrays, expected 2", [](Streams& s) { s.pop_back(); });
  refused("streams['a'].values is [2, 3], expected [S=2, 2]", [](Streams& s) { s[0].values.shape[1] = 3; });
  refused("streams['a'].values is [2], expected [S, 2]", [](Streams& s) { s[0].values.rank = 1; });
  refused("streams['b'].stamps_ns is [1], expected [S=2]", [](Streams& s) { s[1].stamps_ns.shape[0] = 1; });
  refused("streams['b'].stamps_ns is float64, expected int64", [](Streams& s) { s[1].stamps_ns.dtype = DType::f64; });
  refused("streams['b'].values is int32, expected float32", [](Streams& s) { s[1].values.dtype = DType::i32; });
  refused("on cuda:0", [](Streams& s) { s[1].values.device = {DeviceKind::cuda, 0}; });
  refused("streams['a'].values is of column stride 2", [](Streams& s) { s[0].values.strides[1] = 2; });
  EXPECT_EQ(builder.finish()->episodes(), 0);
}

TEST(Store, TheBuilderGoesOnWithItsStreamsAndTheStoreOutlivesIt) {
  std::shared_ptr<const Store> first, second;
  {
    StoreBuilder builder({stream("a", {1}, 30)});
    EpisodeData one, two;
    one.add(std::vector<float>{1}, 1, DType::f32, {1});
    two.add(std::vector<float>{2, 3}, 1, DType::f32, {2, 3});
    builder.append(0, one.streams());
    first = builder.finish();
    builder.append(1, two.streams());
    second = builder.finish();
  }
  EXPECT_EQ(elements<float>(first->columns()[0].values), std::vector<float>{1});
  EXPECT_EQ(elements<float>(second->columns()[0].values), (std::vector<float>{2, 3}));
  EXPECT_EQ(second->columns()[0].stream.rate_hz, 30);
}

TEST(Store, ThreadsReadOneStore) {
  StoreBuilder builder({stream("a")});
  constexpr std::int64_t kEpisodes = 200;
  for (std::int64_t e = 0; e < kEpisodes; ++e) {
    EpisodeData episode;
    episode.add(std::vector<float>(1000, static_cast<float>(e)), 1, DType::f32, at_rate(1000, 100));
    builder.append(e, episode.streams());
  }
  const auto store = builder.finish();
  std::vector<double> sums(4);
  std::vector<std::thread> threads;
  for (double& sum : sums) {
    threads.emplace_back([&sum, store] {
      for (const float value : elements<float>(store->columns()[0].values)) sum += static_cast<double>(value);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const double sum : sums) EXPECT_EQ(sum, 1000.0 * kEpisodes * (kEpisodes - 1) / 2);
}

}  // namespace
}  // namespace robocache
