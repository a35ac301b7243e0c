#include "core/thread_pool.hpp"
#include "kernels/cpu/align_locate.hpp"

namespace robocache::cpu {

namespace ROBOCACHE_ISA {

namespace {

/// How a call is cut: item = batch row * row_tiles + tile.
struct Plan {
  std::int64_t row_tiles;
  std::int64_t tile;   ///< targets in a tile; the last one may be shorter
  std::int64_t grain;  ///< items that one thread takes at once
  bool ahead;          ///< what is read and written does not fit in a near cache
  bool bypass;         ///< what is written does not fit in any cache

  explicit Plan(const AlignArgs& args) {
    // Less work than this for each thread costs more to hand out than it saves.
    constexpr std::int64_t kGrainBytes = 64 << 10;
    constexpr std::int64_t kNearCache = 2 << 20;
    // About the share of the last-level cache that a process can count on: bypassing it takes 0.75x the time of a
    // 67 MB result and 1.2x that of an 8 MB one.
    constexpr std::int64_t kFarCache = 24 << 20;
    std::int64_t read = 0;
    std::int64_t written = 0;
    std::int64_t checked = 0;
    for (std::size_t s = 0; s < args.streams.size(); ++s) {
      const AlignStream& stream = args.streams[s];
      read += stream.columns * static_cast<std::int64_t>(size_of(stream.dtype)) + 32;
      written += stream.columns * static_cast<std::int64_t>(size_of(stream.out_dtype));
      if (args.check_data) checked += stream.samples * static_cast<std::int64_t>(size_of(args.time));
    }
    row_tiles = (args.targets + kTile - 1) / kTile;
    tile = (args.targets + row_tiles - 1) / row_tiles;
    const std::int64_t item_bytes = tile * (read + written) + checked / row_tiles;
    grain = (kGrainBytes + item_bytes - 1) / item_bytes;
    ahead = read + written > kNearCache / args.targets / args.batch;
    bypass = written > kFarCache / args.targets / args.batch;
  }
};

/// The lowest fault that any thread reports.
class FirstFault {
 public:
  void report(const Fault& fault) {
    const std::uint64_t word = fault.encode();
    std::uint64_t first = __atomic_load_n(&first_, __ATOMIC_RELAXED);
    while ((first == 0 || word < first) &&
           !__atomic_compare_exchange_n(&first_, &first, word, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
  }
  [[nodiscard]] std::uint64_t word() const { return __atomic_load_n(&first_, __ATOMIC_RELAXED); }

 private:
  std::uint64_t first_ = 0;
};

/// One call with its stamp type known.
template <class T>
class Call {
 public:
  Call(const AlignArgs& args, const Plan& plan) : args_(args), plan_(plan) {}

  void run(std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) run_tile(item / plan_.row_tiles, item % plan_.row_tiles);
#if defined(__x86_64__)
    if (plan_.bypass) __builtin_ia32_sfence();
#endif
  }
  [[nodiscard]] std::uint64_t fault() const { return first_fault_.word(); }

 private:
  void run_tile(std::int64_t b, std::int64_t tile) {
    const std::int64_t begin = tile * plan_.tile;
    const std::int64_t end = args_.targets - begin < plan_.tile ? args_.targets : begin + plan_.tile;
    const TileTargets<T> targets(args_, b, begin, end);
    for (std::size_t s = 0; s < args_.streams.size(); ++s) {
      if (args_.streams[s].stamp_row == 1) {
        run_stream<true>(s, targets, b, tile, begin);
      } else {
        run_stream<false>(s, targets, b, tile, begin);
      }
    }
  }

  template <bool unit>
  void run_stream(std::size_t s, const TileTargets<T>& targets, std::int64_t b, std::int64_t tile, std::int64_t begin) {
    const AlignStream& stream = args_.streams[s];
    Fault fault{Fault::Code::none, static_cast<std::uint32_t>(s), static_cast<std::uint64_t>(b), 0};
    const Segment segment = segment_of(stream, b, fault.code);
    if (fault.code != Fault::Code::none && args_.check_data) first_fault_.report(fault);
    const T* stamps = static_cast<const T*>(stream.stamps);
    // What an empty stream points to is not ours to count from.
    if (segment.count > 0) stamps += segment.index * stream.stamp_batch + segment.first * stream.stamp_row;
    const Stamps<T, unit> stamp{stamps, stream.stamp_row, Clock<T>::shift(T{}, stream.offset_ns), segment.count};
    if (args_.check_data) check_stamps(stamp, stream, b, tile, fault);

    Row rows[kTile];
    const std::int64_t refused =
        locate(stamp, targets, stream.place, rows, marks(static_cast<std::int64_t>(s), b, begin));
    if (refused >= 0 && args_.check_data) {
      fault.code = Fault::Code::outside;
      fault.item = static_cast<std::uint64_t>(begin + refused);
      first_fault_.report(fault);
    }
    if (stream.columns > 0) store(stream, segment, rows, b, begin, targets.count);
  }

  void store(const AlignStream& stream, const Segment& segment, const Row* rows, std::int64_t b, std::int64_t begin,
             std::int64_t count) const {
    const auto size = static_cast<std::int64_t>(size_of(stream.dtype));
    const auto out_size = static_cast<std::int64_t>(size_of(stream.out_dtype));
    const std::byte* samples = static_cast<const std::byte*>(stream.values);
    if (segment.count > 0) samples += (segment.index * stream.value_batch + segment.first * stream.value_row) * size;
    std::byte* const out =
        static_cast<std::byte*>(stream.out) + (b * stream.out_batch + begin * stream.out_row) * out_size;
    // Where targets are closer than samples, the next sample is mostly the one just used.
    const bool ahead = plan_.ahead && stream.samples > args_.targets;
    apply({stream, samples, rows, count, out, ahead, plan_.bypass});
  }

  /// Checks this tile's share of the stamps that batch row b reads. The batch shares the work for a shared clock.
  template <class S>
  void check_stamps(const S& stamp, const AlignStream& stream, std::int64_t b, std::int64_t tile, Fault& fault) {
    const bool shared = stream.stamp_batch == 0 && stream.offsets.data == nullptr && stream.lengths.data == nullptr;
    const std::int64_t share = shared ? b * plan_.row_tiles + tile : tile;
    const std::int64_t shares = shared ? args_.batch * plan_.row_tiles : plan_.row_tiles;
    const std::int64_t pairs = stamp.count - 1;
    std::int64_t found = -1;
    if (pairs > 0) {
      const std::int64_t step = (pairs + shares - 1) / shares;
      const std::int64_t from = share * step < pairs ? share * step : pairs;
      found = first_disorder(stamp, from, pairs - from < step ? pairs : from + step);
    } else if (pairs == 0 && Clock<T>::is_nan(stamp(0))) {
      found = 0;
    }
    if (found < 0) return;
    fault.code = Fault::Code::stamps;
    if (shared) fault.row = 0;
    fault.item = static_cast<std::uint64_t>(found);
    first_fault_.report(fault);
  }

  [[nodiscard]] Marks marks(std::int64_t s, std::int64_t b, std::int64_t begin) const {
    Marks m{nullptr, nullptr, args_.valid_row, args_.age_row};
    if (args_.valid != nullptr) {
      m.valid = args_.valid + b * args_.valid_batch + begin * args_.valid_row + s * args_.valid_stream;
    }
    if (args_.age_ns != nullptr) {
      m.age_ns = args_.age_ns + b * args_.age_batch + begin * args_.age_row + s * args_.age_stream;
    }
    return m;
  }

  const AlignArgs& args_;
  const Plan& plan_;
  FirstFault first_fault_;
};

template <class T>
Fault align_as(const AlignArgs& args, const Context& ctx) {
  const Plan plan(args);
  Call<T> call(args, plan);
  parallel_for(args.batch * plan.row_tiles, plan.grain, ctx.threads,
               [&call](std::int64_t begin, std::int64_t end) { call.run(begin, end); });
  return Fault::decode(call.fault());
}

}  // namespace

}  // namespace ROBOCACHE_ISA

template <>
Fault align<Isa::ROBOCACHE_ISA>(const AlignArgs& args, const Context& ctx) {
  switch (args.time) {
    case DType::f64:
      return ROBOCACHE_ISA::align_as<double>(args, ctx);
    case DType::f32:
      return ROBOCACHE_ISA::align_as<float>(args, ctx);
    default:
      return ROBOCACHE_ISA::align_as<std::int64_t>(args, ctx);
  }
}

}  // namespace robocache::cpu
