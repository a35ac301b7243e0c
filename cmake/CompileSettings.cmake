# What every target that sees src/ is compiled with: the library, its CPU kernels, tests, benchmarks and bindings.
function(robocache_compile_settings target)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/include")
  target_compile_definitions(${target} PRIVATE
    ROBOCACHE_CUDA=${ROBOCACHE_HAS_CUDA}
    ROBOCACHE_ISA_LEVELS=${ROBOCACHE_ISA_COUNT})
  target_compile_features(${target} PRIVATE cxx_std_20)
  set_target_properties(${target} PROPERTIES
    CXX_EXTENSIONS OFF CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON POSITION_INDEPENDENT_CODE ON)
  # Contraction is off on both sides so that CPU and CUDA can agree bit for bit.
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off;-Wall;-Wextra;-Wshadow;-Wconversion>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # GCC bug 105651: overlaps inside std::string that are not there.
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
  endif()
  if(ROBOCACHE_HAS_CUDA)
    target_include_directories(${target} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
    set_target_properties(${target} PROPERTIES CUDA_VISIBILITY_PRESET hidden CUDA_RUNTIME_LIBRARY Static)
    # -std, not CXX_STANDARD or CUDA_STANDARD: CMake 3.25 does not know that nvcc has C++20.
    target_compile_options(${target} PRIVATE
      $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--expt-relaxed-constexpr;-fmad=false;-Xcompiler=-ffp-contract=off,-Wall,-Wextra>)
  endif()
endfunction()
