# Third-party libraries. With MHC_JIT_STATIC_DEPENDENCIES everything but the C library goes into the programs, so that a build
# folder runs on a machine that has none of them.
find_package(Threads REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(PkgConfig REQUIRED)

if(NOT MHC_JIT_STATIC_DEPENDENCIES)
    find_package(SQLite3 REQUIRED)
    find_package(fmt REQUIRED)
    find_package(OpenSSL REQUIRED COMPONENTS Crypto)
    pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
    return()
endif()

set(shared_suffixes "${CMAKE_FIND_LIBRARY_SUFFIXES}")
set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
set(OPENSSL_USE_STATIC_LIBS ON)
find_package(SQLite3 REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_library(MHC_JIT_ZSTD NAMES zstd REQUIRED)
set(CMAKE_FIND_LIBRARY_SUFFIXES "${shared_suffixes}")
mark_as_advanced(MHC_JIT_ZSTD)

set_property(TARGET SQLite::SQLite3 APPEND PROPERTY INTERFACE_LINK_LIBRARIES ${CMAKE_DL_LIBS} m Threads::Threads)
add_library(PkgConfig::zstd INTERFACE IMPORTED)
target_link_libraries(PkgConfig::zstd INTERFACE "${MHC_JIT_ZSTD}")
# Debian has fmt as a shared library and as headers, not as an archive.
find_path(MHC_JIT_FMT_HEADERS NAMES fmt/format.h REQUIRED)
mark_as_advanced(MHC_JIT_FMT_HEADERS)
add_library(mhc_fmt STATIC "${CMAKE_CURRENT_LIST_DIR}/fmt_archive.cpp")
target_compile_features(mhc_fmt PUBLIC cxx_std_20)
target_include_directories(mhc_fmt SYSTEM PUBLIC "${MHC_JIT_FMT_HEADERS}")
set_target_properties(mhc_fmt PROPERTIES POSITION_INDEPENDENT_CODE ON)
add_library(fmt::fmt ALIAS mhc_fmt)
