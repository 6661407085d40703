# What the packaging tests share: running a command and judging what it printed.

# Variables of the person or machine that runs the test must not reach the programs under test.
foreach(name IN ITEMS MHC_JIT_WORKER MHC_JIT_STRICT MHC_JIT_READONLY MHC_JIT_BACKEND MHC_JIT_EXTRA_RO MHC_JIT_PREBUILT_KEY
        MHC_REBUILD MHC_COMPAT
        MHC_PREBUILD_KERNELS MHC_GPU_ARCHS PREBUILD_KERNELS GPU_ARCHS DESTDIR CMAKE_PREFIX_PATH)
    unset(ENV{${name}})
endforeach()

# Runs a command; when it fails, so does the test, with what it printed. `output` receives its standard output.
function(run output)
    execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE printed ERROR_VARIABLE errors RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        list(JOIN ARGN " " line)
        message(NOTICE "${printed}${errors}")  # FATAL_ERROR would fill its lines anew
        message(FATAL_ERROR "failed with ${status}: ${line}")
    endif()
    set(${output} "${printed}" PARENT_SCOPE)
endfunction()

function(expect text pattern)
    if(NOT text MATCHES "${pattern}")
        message(NOTICE "${text}")
        message(FATAL_ERROR "expected \"${pattern}\" in the lines above")
    endif()
endfunction()

# Runs a program that prints "compiled now: N kernels" in two processes with a new cache: the first compiles, the second not.
function(expect_second_process_compiles_nothing program cache)
    file(REMOVE_RECURSE "${cache}")
    set(ENV{MHC_JIT_DIR} "${cache}")
    set(ENV{MHC_JIT_TARGET} host)
    run(first "${program}")
    expect("${first}" "compiled now: [1-9][0-9]* kernel")
    run(second "${program}")
    expect("${second}" "compiled now: 0 kernels")
    message(STATUS "first process:\n${first}\nsecond process:\n${second}")
endfunction()
