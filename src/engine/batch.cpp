#include "robocache/batch.hpp"

#include <algorithm>
#include <initializer_list>

#include "robocache/memory.hpp"

namespace robocache {

namespace {

OwnedTensor new_tensor(DType dtype, std::initializer_list<std::int64_t> shape) {
  OwnedTensor made{.view = Tensor(nullptr, dtype, shape)};
  const std::size_t bytes = static_cast<std::size_t>(made.view.numel()) * size_of(dtype);
  if (bytes == 0) return made;
  made.memory = {host_memory().allocate(bytes, nullptr),
                 [bytes](void* memory) { host_memory().deallocate(memory, bytes, nullptr); }};
  made.view.data = made.memory.get();
  return made;
}

}  // namespace

Batch read_batch(const Windows& windows, std::span<const std::int64_t> samples, BatchMarks marks, const Context& ctx) {
  const auto n = static_cast<std::int64_t>(samples.size());
  Batch batch{.windows = {},
              .index = new_tensor(DType::i64, {n}),
              .episode_index = new_tensor(DType::i64, {n}),
              .stamps_ns = new_tensor(DType::i64, {n})};
  std::ranges::copy(samples, static_cast<std::int64_t*>(batch.index.view.data));
  std::vector<Windows::Result> results;
  for (std::size_t w = 0; w < windows.size(); ++w) {
    const std::int64_t rows = windows.rows(w);
    Batch::Result& made = batch.windows.emplace_back();
    made.values = new_tensor(windows.dtype(w), {n, rows, windows.column(w).values.shape[1]});
    made.is_pad = new_tensor(DType::boolean, {n, rows});
    if (marks.valid) made.valid = new_tensor(DType::boolean, {n, rows});
    if (marks.age) made.age_ns = new_tensor(DType::i64, {n, rows});
    results.push_back({made.values.view, made.is_pad.view, made.valid.view, made.age_ns.view});
  }
  windows.read(samples, results, {batch.episode_index.view, batch.stamps_ns.view}, ctx);
  return batch;
}

}  // namespace robocache
