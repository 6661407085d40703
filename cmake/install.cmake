# What `cmake --install` puts where, and the package that find_package(mhc_jit) finds. Included at the end of CMakeLists.txt.

include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/mhc_jit")

install(TARGETS mhc_jit EXPORT mhc_jit_targets
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
    FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT mhc_jit_targets NAMESPACE mhc:: DESTINATION "${package_dir}")

# A static library leaves its private dependencies to whoever links it, so the package looks for them; a shared one does not.
get_target_property(library_type mhc_jit TYPE)
string(COMPARE EQUAL "${library_type}" STATIC_LIBRARY MHC_JIT_IS_STATIC)
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/mhc_jitConfig.cmake.in" "${PROJECT_BINARY_DIR}/mhc_jitConfig.cmake"
    INSTALL_DESTINATION "${package_dir}"
    PATH_VARS CMAKE_INSTALL_BINDIR CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_LIBEXECDIR NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/mhc_jitConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/mhc_jitConfig.cmake" "${PROJECT_BINARY_DIR}/mhc_jitConfigVersion.cmake"
    "${CMAKE_CURRENT_LIST_DIR}/mhc_jit_prebuild.cmake" "${CMAKE_CURRENT_LIST_DIR}/mhc_jit_embed.cmake"
    DESTINATION "${package_dir}")

install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" "${PROJECT_SOURCE_DIR}/README.md" "${PROJECT_SOURCE_DIR}/CHANGELOG.md"
    DESTINATION "${CMAKE_INSTALL_DOCDIR}")
