#pragma once

// Everything a C++ user may include.
#include <robocache/align.hpp>
#include <robocache/align_gradient.hpp>
#include <robocache/batch.hpp>
#include <robocache/context.hpp>
#include <robocache/data_check.hpp>
#include <robocache/device.hpp>
#include <robocache/dtype.hpp>
#include <robocache/error.hpp>
#include <robocache/loader.hpp>
#include <robocache/memory.hpp>
#include <robocache/point_operators.hpp>
#include <robocache/sampler.hpp>
#include <robocache/store.hpp>
#include <robocache/tensor.hpp>
#include <robocache/voxelize.hpp>
#include <robocache/voxelize_gradient.hpp>
#include <robocache/voxelize_sparse.hpp>
#include <robocache/windows.hpp>
