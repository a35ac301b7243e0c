#pragma once

#include <span>

#include <robocache/align.hpp>

namespace robocache {

/// The gradient of align by the values of its streams: for a scalar whose derivative by what align wrote is `grad_out`,
/// writes the derivative by each value. docs/gradients.md says what counts as differentiable.
///   streams, at  as align was given them
///   grad_out     [B, T, sum D], or one [B, T, D] per stream, as `out` of align was; any float dtype and strides
///   out          what align wrote, of the shape and dtype of grad_out; only looked at for quaternions (slerp, se3,
///                screw), for the sign that each was stored with; empty where no stream has any
///   grad_values  one per stream, of the shape and dtype of its values; written completely, zeros where no target
///                looks. Not given: not wanted, and always so for integers and bools. A stride of 0 in the batch sums
///                over the segments.
/// Sums run over batch rows, then targets, in ascending order, in f32 (f64 for f64 data, quaternions and angles),
/// rounded once: the same on every device and in every run. Ordered on ctx.stream; returns before the GPU is done and
/// can be captured in a graph.
/// Throws InvalidArgument (shape, dtype, device, on the CPU unsorted or NaN stamps), Unsupported (dtype, interp).
Pending align_gradient(std::span<const Stream> streams, const Targets& at, std::span<const ConstTensor> grad_out,
                       std::span<const ConstTensor> out, std::span<const Tensor> grad_values,
                       DataCheck check = DataCheck::automatic, const Context& ctx = {});

}  // namespace robocache
