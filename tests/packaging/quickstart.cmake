# The quickstart, as tools/demo runs it: right results, and nothing compiled the second time.
include("${CMAKE_CURRENT_LIST_DIR}/support.cmake")
expect_second_process_compiles_nothing("${PROGRAM}" "${WORK}/cache")
