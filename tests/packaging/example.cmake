# One example on `host`: it succeeds, and prints what is expected.
include("${CMAKE_CURRENT_LIST_DIR}/support.cmake")
set(ENV{MHC_JIT_DIR} "${WORK}")
unset(ENV{MHC_JIT_TARGET})
run(printed "${PROGRAM}" host)
expect("${printed}" "${EXPECTED}")
message(STATUS "${printed}")
