# PREBUILD_KERNELS=3 GPU_ARCHS=gfx942 cmake ...: the databases are built, installed, whole, and kept by a later configure.
include("${CMAKE_CURRENT_LIST_DIR}/support.cmake")

file(REMOVE_RECURSE "${WORK}")
set(configure "${CMAKE_COMMAND}" -S "${SOURCE}" -B "${WORK}/build" -G "${GENERATOR}" "-DPREBUILD=${PREBUILD}" "-DMODULES=${MODULES}"
    "-DCMAKE_INSTALL_PREFIX=${WORK}/prefix")

# A level that does not exist stops the configure and says which do.
execute_process(COMMAND "${CMAKE_COMMAND}" -E env PREBUILD_KERNELS=7 ${configure} RESULT_VARIABLE status ERROR_VARIABLE errors
    OUTPUT_QUIET)
if(status EQUAL 0)
    message(FATAL_ERROR "PREBUILD_KERNELS=7 was accepted")
endif()
expect("${errors}" "is '7'")
file(REMOVE_RECURSE "${WORK}/build")

run(ignored "${CMAKE_COMMAND}" -E env PREBUILD_KERNELS=3 GPU_ARCHS=gfx942 ${configure})
run(ignored ${configure})  # without the variables: what the first configure read is kept
run(built "${CMAKE_COMMAND}" --build "${WORK}/build")
run(again "${CMAKE_COMMAND}" --build "${WORK}/build")
if(again MATCHES "Compiling kernels")
    message(FATAL_ERROR "a second build compiled the kernels again:\n${again}")
endif()
run(ignored "${CMAKE_COMMAND}" --install "${WORK}/build")

set(database "${WORK}/prefix/lib/mhc/prebuilt/mhc_gfx942.db")
foreach(file IN ITEMS "${database}" "${WORK}/prefix/lib/mhc/prebuilt/mhc_gfx942.json")
    if(NOT EXISTS "${file}")
        message(FATAL_ERROR "${file} was not installed; the build printed:\n${built}")
    endif()
endforeach()
run(verified "${CACHE_TOOL}" verify --database "${database}")
run(listed "${CACHE_TOOL}" list --database "${database}")
expect("${listed}" "post +gfx942 +4096 +4 +bf16")
