#include "core/thread_pool.hpp"
#include "kernels/cpu/align_cut.hpp"
#include "kernels/cpu/align_locate.hpp"
#include "kernels/cpu/align_units.hpp"

namespace robocache::cpu {

namespace ROBOCACHE_ISA {

namespace {

/// One call with its stamp type known.
template <class T>
class Call {
 public:
  Call(const AlignArgs& args, const Cut& cut, const TileSigns& signs) : args_(args), cut_(cut), signs_(signs) {}

  void run(std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) run_tile(item, false);
    fence();
  }
  /// Once all tiles have run and their signs are chained: those whose signs were not known.
  void turn(std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) {
      if (signs_.turned(item / cut_.row_tiles, item % cut_.row_tiles)) run_tile(item, true);
    }
    fence();
  }
  [[nodiscard]] std::uint64_t fault() const { return first_fault_.word(); }

 private:
  /// The runs of one stream, and what they share in a tile.
  struct Work {
    std::span<const AlignStream> runs;
    std::int64_t quaternions;  ///< of the streams before, in signs_
    Tile tile;
    Segment segment;
    Fault fault;
    bool turns;  ///< only what turned() says is stored, once more
  };

  void fence() const {
#if defined(__x86_64__)
    if (cut_.bypass) __builtin_ia32_sfence();
#endif
  }

  void run_tile(std::int64_t item, bool turns) {
    const std::int64_t number = item % cut_.row_tiles;
    const std::int64_t begin = number * cut_.tile;
    const std::int64_t count = args_.targets - begin < cut_.tile ? args_.targets - begin : cut_.tile;
    const Tile tile{item / cut_.row_tiles, number, begin, count};
    if (args_.at == nullptr) return run_streams(tile, turns, [this](Work& work) { run_planned(work); });
    const TileTargets<T> targets(args_, tile, signs_.given() && number > 0);
    run_streams(tile, turns, [&](Work& work) {
      if (work.runs[0].stamp_row == 1) {
        run_stream<true>(work, targets);
      } else {
        run_stream<false>(work, targets);
      }
    });
  }

  template <class F>
  void run_streams(const Tile& tile, bool turns, const F& run_one) {
    std::int64_t quaternions = 0;
    for (std::size_t first = 0; first < args_.streams.size();) {
      std::size_t last = first + 1;
      while (last < args_.streams.size() && args_.streams[last].continues) ++last;
      const AlignStream& stream = args_.streams[first];
      Fault fault{Fault::Code::none, stream.number, static_cast<std::uint64_t>(tile.b), 0};
      const Segment segment = segment_of(stream, tile.b, fault.code);
      Work work{args_.streams.subspan(first, last - first), quaternions, tile, segment, fault, turns};
      run_one(work);
      for (const AlignStream& run : work.runs) quaternions += TileSigns::units(run);
      first = last;
    }
  }

  void run_planned(const Work& work) const {
    Marks none;
    std::int64_t quaternions = work.quaternions;
    for (const AlignStream& run : work.runs) {
      if (stores(work, run, quaternions)) {
        const Row* rows = run.read_steps + work.tile.b * run.steps_batch + work.tile.begin;
        TileRows usable;
        if (!are_inside(rows, work)) {
          for (std::int64_t j = first_row(work); j < work.tile.count; ++j) {
            usable.storage[j + 1] = usable_step(rows[j], work.segment.count);
          }
          rows = usable.storage + 1;
        }
        store(work, run, quaternions, rows, none, {}, nullptr);
      }
      quaternions += TileSigns::units(run);
    }
  }

  /// Quaternions look at the row before their tile, too.
  static std::int64_t first_row(const Work& work) { return work.tile.number > 0 ? -1 : 0; }

  /// Whether usable_step() would leave all these steps as they are, as it does but near the end of a segment.
  static bool are_inside(const Row* rows, const Work& work) {
    bool inside = true;  // No early exit, no branches.
    for (std::int64_t j = first_row(work); j < work.tile.count; ++j) {
      inside &= (rows[j].index < work.segment.count - 2) & ((rows[j].index > 0) | (rows[j].before_width == 0));
    }
    return inside;
  }

  template <bool unit>
  void run_stream(Work& work, const TileTargets<T>& targets) {
    const AlignStream& stream = work.runs[0];
    const bool checks = args_.check_data && !work.turns;
    if (work.fault.code != Fault::Code::none && checks) first_fault_.report(work.fault);
    const T* stamps = static_cast<const T*>(stream.stamps);
    // What an empty stream points to is not ours to count from.
    if (work.segment.count > 0) {
      stamps += work.segment.index * stream.stamp_batch + work.segment.first * stream.stamp_row;
    }
    const Stamps<T, unit> stamp{stamps, stream.stamp_row, Clock<T>::shift(T{}, stream.offset_ns), work.segment.count};
    if (checks) check_stamps(stamp, stream, work);

    // Most streams are one run whose rows are placed as they are found.
    const bool at_once = work.runs.size() == 1 && is_plain(stream);
    std::int64_t found[kTile + 1];
    if (targets.lead) found[0] = search(stamp, targets[-1]);
    if (!at_once) {
      Finder find(stamp, targets);
      for (std::int64_t j = 0; j < targets.count; ++j) found[j + 1] = find(j);
    }
    std::int64_t quaternions = work.quaternions;
    for (const AlignStream& run : work.runs) {
      if (stores(work, run, quaternions)) {
        const std::int64_t refused = run_columns(work, run, quaternions, stamp, targets, at_once ? nullptr : found + 1);
        if (refused >= 0 && checks) report_outside(work, refused);
      }
      quaternions += TileSigns::units(run);
    }
  }

  [[nodiscard]] bool stores(const Work& work, const AlignStream& run, std::int64_t quaternions) const {
    return !work.turns || signs_.turned(work.tile.b, work.tile.number, quaternions, TileSigns::units(run));
  }

  /// Whether a run is placed row by row and needs nothing but the placements.
  static bool is_plain(const AlignStream& run) {
    return run.missing == Missing::propagate && run.mask == nullptr && run.place.interp != Interp::pchip &&
           run.write_steps == nullptr && !has_quaternion(run.place.interp);
  }

  /// Places and stores one run of columns. `found` has its samples, unless that is left to be done. Returns the first
  /// target that the stream refuses, or -1.
  template <class S>
  std::int64_t run_columns(const Work& work, const AlignStream& run, std::int64_t quaternions, const S& stamp,
                           const TileTargets<T>& targets, const std::int64_t* found) const {
    TileRows tile_rows;
    Row* const rows = run.write_steps != nullptr ? run.write_steps + work.tile.b * args_.targets + work.tile.begin
                                                 : tile_rows.storage + 1;
    const Marks marks = work.turns ? Marks{} : marks_of(work, run);
    const MaskedSamples masked(run, work.segment);
    if (run.missing != Missing::propagate && is_float(run.dtype) && run.columns > 0) {
      UnitTile tile(stamp, targets, found, run, masked, samples(run, work.segment), marks);
      bool apart[kTile];
      if (has_quaternion(run.place.interp)) {
        tile.begin_rows();
      } else {
        tile.place_rows(rows, apart);
      }
      store(work, run, quaternions, rows, marks, tile.placer(), apart);
      return tile.refused();
    }
    if (targets.lead && has_quaternion(run.place.interp)) {
      set_row(rows[-1], place_unit(stamp, stamp.count, masked, run.missing, found[-1], targets[-1], run.place));
    }
    const std::int64_t refused = place_run(run, stamp, targets, found, masked, rows, marks);
    if (run.columns > 0) store(work, run, quaternions, rows, marks, {}, nullptr);
    return refused;
  }

  /// Places the targets of a run whose units all have the same samples.
  template <class S>
  static std::int64_t place_run(const AlignStream& run, const S& stamp, const TileTargets<T>& targets,
                                const std::int64_t* found, const MaskedSamples& masked, Row* rows, const Marks& marks) {
    PlaceOptions options = run.place;
    // The steps of a plan are for all curves.
    if (run.write_steps != nullptr && is_curve(options.interp)) options.interp = Interp::pchip;
    const auto place_all = [&](const auto& place_one) { return place_rows(targets.count, marks, rows, place_one); };
    if (found == nullptr) {
      return place_all([&targets, stamp, options, find = Finder(stamp, targets)](std::int64_t j) mutable {
        return place(stamp, stamp.count, find(j), targets[j], options);
      });
    }
    if (run.mask != nullptr) {
      return place_all([&](std::int64_t j) {
        return place_unit(stamp, stamp.count, masked, run.missing, found[j], targets[j], options);
      });
    }
    if (options.interp == Interp::pchip) {
      const AllSamples<T, S> all{stamp, stamp.count};
      return place_all([&](std::int64_t j) {
        return detail::with_shoulders<T>(all, place<T>(all, found[j], targets[j], options), Interp::pchip);
      });
    }
    return place_all([&targets, stamp, options, found](std::int64_t j) {
      return UnitPlace{place(stamp, stamp.count, found[j], targets[j], options), {}};
    });
  }

  static const std::byte* samples(const AlignStream& run, const Segment& segment) {
    const std::byte* const values = static_cast<const std::byte*>(run.values);
    if (segment.count == 0) return values;
    return values + (segment.index * run.value_batch + segment.first * run.value_row) *
                        static_cast<std::int64_t>(size_of(run.dtype));
  }

  void store(const Work& work, const AlignStream& run, std::int64_t quaternions, const Row* rows, const Marks& marks,
             const UnitPlacer& units, const bool* apart) const {
    const Tile& tile = work.tile;
    std::byte* const out = static_cast<std::byte*>(run.out) + (tile.b * run.out_batch + tile.begin * run.out_row) *
                                                                  static_cast<std::int64_t>(size_of(run.out_dtype));
    const bool rows_known = !(units.given() && has_quaternion(run.place.interp));
    // Where targets are closer than samples, the next sample is mostly the one just used.
    const bool ahead = cut_.ahead && rows_known && run.samples > args_.targets;
    Signs signs;
    if (has_quaternion(run.place.interp) && signs_.given()) {
      signs.lead = tile.number > 0;
      if (!work.turns) signs.last = signs_.last(tile.b, tile.number, quaternions);
      if (signs.lead && (work.turns || signs_.in_order())) {
        signs.seed = signs_.last(tile.b, tile.number - 1, quaternions);
      }
    }
    apply({run, samples(run, work.segment), rows, tile.count, out, ahead, cut_.bypass, marks, signs, units, apart});
  }

  /// Checks this tile's share of the stamps that batch row b reads. The batch shares the work for a shared clock.
  template <class S>
  void check_stamps(const S& stamp, const AlignStream& stream, const Work& work) {
    const std::int64_t b = work.tile.b;
    const bool shared = stream.stamp_batch == 0 && stream.offsets.data == nullptr && stream.lengths.data == nullptr;
    const std::int64_t share = shared ? b * cut_.row_tiles + work.tile.number : work.tile.number;
    const std::int64_t shares = shared ? args_.batch * cut_.row_tiles : cut_.row_tiles;
    const std::int64_t pairs = stamp.count - 1;
    std::int64_t disorder = -1;
    if (pairs > 0) {
      const std::int64_t step = (pairs + shares - 1) / shares;
      const std::int64_t from = share * step < pairs ? share * step : pairs;
      disorder = first_disorder(stamp, from, pairs - from < step ? pairs : from + step);
    } else if (pairs == 0 && Clock<T>::is_nan(stamp(0))) {
      disorder = 0;
    }
    if (disorder < 0) return;
    Fault fault = work.fault;
    fault.code = Fault::Code::stamps;
    if (shared) fault.row = 0;
    fault.item = static_cast<std::uint64_t>(disorder);
    first_fault_.report(fault);
  }

  void report_outside(const Work& work, std::int64_t refused) {
    Fault fault = work.fault;
    fault.code = Fault::Code::outside;
    fault.item = static_cast<std::uint64_t>(work.tile.begin + refused);
    first_fault_.report(fault);
  }

  [[nodiscard]] Marks marks_of(const Work& work, const AlignStream& run) const {
    const Tile& tile = work.tile;
    const auto number = static_cast<std::int64_t>(run.number);
    Marks m{nullptr, nullptr, args_.valid_row, args_.age_row, run.continues};
    if (args_.valid != nullptr) {
      m.valid = args_.valid + tile.b * args_.valid_batch + tile.begin * args_.valid_row + number * args_.valid_stream;
    }
    if (args_.age_ns != nullptr) {
      m.age_ns = args_.age_ns + tile.b * args_.age_batch + tile.begin * args_.age_row + number * args_.age_stream;
    }
    return m;
  }

  const AlignArgs& args_;
  const Cut& cut_;
  const TileSigns& signs_;
  FirstFault first_fault_;
};

template <class T>
Fault align_as(const AlignArgs& args, const Context& ctx) {
  const Cut cut(args);
  const TileSigns signs(args, cut, ctx);
  Call<T> call(args, cut, signs);
  const std::int64_t items = args.batch * cut.row_tiles;
  if (signs.in_order()) {
    parallel_for(args.batch, (cut.grain + cut.row_tiles - 1) / cut.row_tiles, ctx.threads,
                 [&](std::int64_t begin, std::int64_t end) { call.run(begin * cut.row_tiles, end * cut.row_tiles); });
    return Fault::decode(call.fault());
  }
  parallel_for(items, cut.grain, ctx.threads, [&](std::int64_t begin, std::int64_t end) { call.run(begin, end); });
  if (signs.given()) {
    for (std::int64_t b = 0; b < args.batch; ++b) signs.chain(b);
    parallel_for(items, cut.grain, ctx.threads, [&](std::int64_t begin, std::int64_t end) { call.turn(begin, end); });
  }
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
