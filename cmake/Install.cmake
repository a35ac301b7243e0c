include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/robocache")
install(TARGETS robocache EXPORT robocacheTargets COMPONENT dev
  ARCHIVE COMPONENT dev LIBRARY COMPONENT dev RUNTIME COMPONENT dev FILE_SET HEADERS COMPONENT dev)
install(EXPORT robocacheTargets NAMESPACE robocache:: DESTINATION "${package_dir}" COMPONENT dev)

configure_package_config_file(cmake/robocacheConfig.cmake.in "${PROJECT_BINARY_DIR}/robocacheConfig.cmake"
  INSTALL_DESTINATION "${package_dir}")
# 0.x: a minor release may change the interface.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/robocacheConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/robocacheConfig.cmake" "${PROJECT_BINARY_DIR}/robocacheConfigVersion.cmake"
  DESTINATION "${package_dir}" COMPONENT dev)
