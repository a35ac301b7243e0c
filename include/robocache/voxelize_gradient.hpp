#pragma once

#include <span>

#include <robocache/voxelize.hpp>

namespace robocache {

/// The gradient by one result of voxelize.
struct VoxelGradient {
  Reduce reduce = Reduce::mean;  ///< sum, mean, min, max, first or last
  ConstTensor grad_out{};        ///< [B, X, Y, Z, F] as the result; contiguous
};

/// The gradient of voxelize by its features. Each point reads the gradients of its voxel: all of it for a sum, that over the
/// count for a mean, and for min, max, first and last where the point's feature is the result. Of equal features that is the
/// first point's, as it is of NaN, which win. Terms are added in the order of `gradients` in the compute type and rounded once:
/// the same bits in every run, on every device and with any number of threads. What was written to empty voxels has no
/// gradient.
///   grad_features  as clouds.features, contiguous; zeros for points in no voxel and for what no cloud has
/// Runs on points.device, ordered on ctx.stream; returns before the GPU is done; takes scratch: on the CPU as voxelize,
/// and for each thread 8 bytes for each voxel and feature of a tile and each of min, max, first and last; on CUDA none
/// for sums alone, else 16 bytes a point (24 where there are 2^32 voxels in all clouds), and 2 % of the features
/// as f32 (f64 for f64) for each of min and max. On CUDA a call can be captured in a graph.
/// Throws InvalidArgument (shape, dtype, device, counts and occupancy, on the CPU lengths and offsets out of range),
/// Unsupported (dtype; on CUDA more than 32 gradients or 2^24 columns, and more than 2^31 - 1 points but for sums alone),
/// OutOfMemory.
void voxelize_gradient(const Clouds& clouds, const VoxelGrid& grid, std::span<const VoxelGradient> gradients,
                       const Tensor& grad_features, const Context& ctx = {});

}  // namespace robocache
