#include <algorithm>
#include <cstdint>
#include <numeric>
#include <type_traits>
#include <utility>

#include "core/thread_pool.hpp"
#include "kernels/cpu/point_operators_block.hpp"
#include "math/box.hpp"

namespace robocache::cpu {

namespace ROBOCACHE_ISA {

namespace {

/// Calls body(block, first) for the points of a piece, block by block, in the frame of the box.
template <class T, class C, class F>
void each_block(const CropArgs& args, const Piece& piece, const F& body) {
  const bool moves = args.clouds.transforms.data != nullptr;
  Affine<C> affine;
  if (moves) affine = args.clouds.transforms.at<C>(piece.cloud);
  PointBlock<C> block;
  for (std::int64_t n = piece.begin; n < piece.end; n += block.kPoints) {
    block.template load<T>(args.clouds.points, piece.base, n, std::min(block.kPoints, piece.end - n));
    if (moves) block.transform(affine);
    body(block, n);
  }
}

/// Whether each point of a block is inside, in lanes as wide as C: that is what compilers make vectors of.
template <class C>
struct Inside {
  using Lane = std::conditional_t<std::is_same_v<C, double>, std::int64_t, std::int32_t>;
  alignas(64) Lane lanes[PointBlock<C>::kPoints];

  Inside(const PointBlock<C>& block, const BoxBounds<C>& bounds) {
    const BoxBounds<C> box = bounds;
    for (std::int64_t i = 0; i < block.count; ++i) lanes[i] = box.holds(block.at(i)) ? 1 : 0;
  }
};

template <class T, class C>
std::int64_t count_kept(const CropArgs& args, const Piece& piece) {
  const BoxBounds<C> box(args.box.low, args.box.high);
  std::int64_t kept = 0;
  each_block<T, C>(args, piece, [&](const PointBlock<C>& block, std::int64_t) {
    const Inside<C> inside(block, box);
    kept += std::accumulate(inside.lanes, inside.lanes + block.count, typename Inside<C>::Lane{0});
  });
  return kept;
}

/// The points of a block that are inside, in their order.
struct Kept {
  std::uint16_t place[256];
  std::int64_t count = 0;
};

/// Rows of features, as they are, whatever their type.
template <class U>
void copy_rows(const CropArgs& args, const Piece& piece, std::int64_t first, const Kept& kept, std::int64_t to) {
  const PointRows& rows = args.clouds.features;
  const std::int64_t columns = args.clouds.columns;
  const U* from = static_cast<const U*>(rows.data) + piece.base * rows.batch + first * rows.row;
  U* out = static_cast<U*>(args.features) + to * columns;
  for (std::int64_t k = 0; k < kept.count; ++k, out += columns) {
    const U* row = from + kept.place[k] * rows.row;
    for (std::int64_t f = 0; f < columns; ++f) out[f] = row[f * rows.column];
  }
}

void copy_features(const CropArgs& args, const Piece& piece, std::int64_t first, const Kept& kept, std::int64_t to) {
  switch (size_of(args.clouds.features.dtype)) {
    case 2:
      return copy_rows<std::uint16_t>(args, piece, first, kept, to);
    case 4:
      return copy_rows<std::uint32_t>(args, piece, first, kept, to);
    default:
      return copy_rows<std::uint64_t>(args, piece, first, kept, to);
  }
}

template <class T, class C>
void write_points(const PointBlock<C>& block, const Kept& kept, T* out) {
  for (std::int64_t k = 0; k < kept.count; ++k) {
    const Point<C> p = block.at(kept.place[k]);
    out[3 * k] = narrowed<T>(p.x);
    out[3 * k + 1] = narrowed<T>(p.y);
    out[3 * k + 2] = narrowed<T>(p.z);
  }
}

template <class T, class C>
void write_kept(const CropArgs& args, const Piece& piece) {
  const BoxBounds<C> box(args.box.low, args.box.high);
  std::int64_t to = piece.first_kept;
  each_block<T, C>(args, piece, [&](const PointBlock<C>& block, std::int64_t first) {
    const Inside<C> inside(block, box);
    Kept kept;
    for (std::int64_t i = 0; i < block.count; ++i) {
      kept.place[kept.count] = static_cast<std::uint16_t>(i);
      kept.count += inside.lanes[i];
    }
    kept.count = std::min(kept.count, std::max<std::int64_t>(0, args.room - to));
    if (args.points != nullptr) write_points(block, kept, static_cast<T*>(args.points) + 3 * to);
    if (args.features != nullptr) copy_features(args, piece, first, kept, to);
    for (std::int64_t k = 0; args.index != nullptr && k < kept.count; ++k) {
      args.index[to + k] = piece.base * args.clouds.samples + first + kept.place[k];
    }
    to += kept.count;
  });
}

/// Turns the counts of the pieces into places, and writes where each cloud begins.
void sum_up(const CropArgs& args, const Pieces& pieces) {
  std::int64_t next = 0, cloud = 0;
  for (Piece& piece : pieces) {
    for (; cloud <= piece.cloud; ++cloud) args.offsets[cloud] = next;
    next += std::exchange(piece.first_kept, next);
  }
  for (; cloud <= args.clouds.clouds; ++cloud) args.offsets[cloud] = next;
}

}  // namespace

}  // namespace ROBOCACHE_ISA

template <>
void crop<Isa::ROBOCACHE_ISA>(const CropArgs& args, const Context& ctx) {
  using namespace ROBOCACHE_ISA;
  const Pieces pieces(args.clouds, false, ctx);
  visit_element_type(args.clouds.points.dtype, [&]<class T, class C>() {
    const auto over = [&](const auto& body) {
      parallel_for(pieces.size(), pieces.grain(), ctx.threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) body(pieces.begin()[i]);
      });
    };
    over([&](Piece& piece) { piece.first_kept = count_kept<T, C>(args, piece); });
    sum_up(args, pieces);
    if (args.room > 0) over([&](const Piece& piece) { write_kept<T, C>(args, piece); });
  });
}

}  // namespace robocache::cpu
