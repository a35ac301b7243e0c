# Everything in the build tree is instrumented or nothing is: mixing hides errors.
if(ROBOCACHE_SANITIZE)
  if(NOT ROBOCACHE_CUDA STREQUAL "OFF")
    message(FATAL_ERROR "ROBOCACHE_SANITIZE is for the CPU: set ROBOCACHE_CUDA=OFF (tools/gpu.sh sanitize covers CUDA)")
  endif()
  add_compile_options(-fsanitize=${ROBOCACHE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${ROBOCACHE_SANITIZE})
endif()
