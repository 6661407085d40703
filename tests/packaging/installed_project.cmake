# Installs the built tree, moves it, builds a project of its own against it and runs that with the installed worker.
include("${CMAKE_CURRENT_LIST_DIR}/support.cmake")

file(REMOVE_RECURSE "${WORK}")
set(staged "${WORK}/staged")
set(prefix "${WORK}/moved/prefix")

run(ignored "${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${staged}")

# A package that works only where it was first put would not survive being copied into an image.
file(MAKE_DIRECTORY "${WORK}/moved")
file(RENAME "${staged}" "${prefix}")

# Nothing that was installed as text may name the build tree: it would work here and nowhere else.
file(GLOB_RECURSE texts "${prefix}/*.cmake" "${prefix}/*.hpp")
foreach(file IN LISTS texts)
    file(READ "${file}" text)
    string(FIND "${text}" "${BUILD}" at)
    if(NOT at EQUAL -1)
        message(FATAL_ERROR "${file} names the build tree ${BUILD}")
    endif()
endforeach()

run(configured "${CMAKE_COMMAND}" -S "${CONSUMER}" -B "${WORK}/consumer" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${CXX}" -DCMAKE_BUILD_TYPE=Release
    "-DCMAKE_PREFIX_PATH=${prefix}" "-DCMAKE_INSTALL_PREFIX=${prefix}" "-DEXPECTED_VERSION=${VERSION}")
expect("${configured}" "worker: ${prefix}/libexec/mhc-jit/mhc-jitc")
run(ignored "${CMAKE_COMMAND}" --build "${WORK}/consumer")

# In its own build folder the program is told where the worker is; installed beside the library it finds it by itself.
expect_second_process_compiles_nothing("${WORK}/consumer/consumer_told" "${WORK}/cache_told")
run(told "${WORK}/consumer/consumer_told")
expect("${told}" "worker: ${prefix}/libexec/mhc-jit/mhc-jitc")

run(ignored "${CMAKE_COMMAND}" --install "${WORK}/consumer")
expect_second_process_compiles_nothing("${prefix}/bin/consumer" "${WORK}/cache_found")
run(found "${prefix}/bin/consumer")
string(REGEX MATCH "worker: ([^\n]*)" ignored "${found}")
get_filename_component(worker "${CMAKE_MATCH_1}" REALPATH)
if(NOT worker STREQUAL "${prefix}/libexec/mhc-jit/mhc-jitc")
    message(FATAL_ERROR "the installed program uses the worker ${CMAKE_MATCH_1}, not the one installed beside it")
endif()

# The tools are installed with everything they need.
foreach(tool IN ITEMS mhc-eval mhc-show mhc-cache mhc-prebuild mhc-bench mhc-tune)
    run(printed "${prefix}/bin/${tool}" --version)
    expect("${printed}" "${VERSION}")
endforeach()
