#pragma once

#include <nanobind/nanobind.h>

// One function an area; module.cpp calls them.
namespace robocache::python {

void bind_align(nanobind::module_& m);
void bind_align_gradient(nanobind::module_& m);
void bind_plan(nanobind::module_& m);
void bind_point_operators(nanobind::module_& m);
void bind_voxelize(nanobind::module_& m);
void bind_voxelize_sparse(nanobind::module_& m);
void bind_sampler(nanobind::module_& m);
void bind_loader(nanobind::module_& m);
void bind_store(nanobind::module_& m);
void bind_tfrecord(nanobind::module_& m);
void bind_installation(nanobind::module_& m);

}  // namespace robocache::python
