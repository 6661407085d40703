# Kernels compiled together with a program, which then compiles none when it runs:
#
#   mhc_jit_prebuild(TARGET app ARCHS gfx942 gfx90a SHAPES shapes.txt [SIGN key.pem])
#   mhc_jit_prebuild(TARGET app ARCHS gfx942 gfx90a SHAPES shapes.txt EMBED)
#
# ARCHS and SHAPES are mhc-prebuild's --archs and --shapes. The databases are made when `app` is built, and anew when the shapes
# change. Without EMBED they are files: beside the program in `app.prebuilt`, installed as `lib/mhc/prebuilt/app` (for a program
# that is installed in `bin`), and the library looks in both by itself. With EMBED they are part of the program, which needs no
# file. TARGET must link mhc::jit.
function(mhc_jit_prebuild)
    cmake_parse_arguments(PARSE_ARGV 0 arg "EMBED" "TARGET;SHAPES;SIGN" "ARCHS")
    foreach(name IN ITEMS TARGET ARCHS SHAPES)
        if(NOT arg_${name})
            message(FATAL_ERROR "mhc_jit_prebuild: ${name} is missing; TARGET, ARCHS and SHAPES must be given")
        endif()
    endforeach()
    if(arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "mhc_jit_prebuild: '${arg_UNPARSED_ARGUMENTS}' is not known; allowed: TARGET, ARCHS, SHAPES, SIGN, EMBED")
    endif()
    if(arg_EMBED AND arg_SIGN)
        message(FATAL_ERROR "mhc_jit_prebuild: SIGN with EMBED; what is part of the program is believed as the program is")
    endif()
    if(NOT TARGET mhc::prebuild)
        message(FATAL_ERROR "mhc_jit_prebuild: mhc-prebuild is not here; build mhc-jit with MHC_JIT_BUILD_TOOLS=ON")
    endif()
    get_target_property(type ${arg_TARGET} TYPE)
    if(NOT type STREQUAL "EXECUTABLE" AND NOT (arg_EMBED AND type MATCHES "^(SHARED|MODULE)_LIBRARY$"))
        # A static library's file that nobody calls is not linked; a library's folder would not be looked for.
        message(FATAL_ERROR "mhc_jit_prebuild: ${arg_TARGET} is a ${type}; allowed: a program and, with EMBED, a shared library")
    endif()

    get_filename_component(shapes "${arg_SHAPES}" ABSOLUTE)
    string(REPLACE ";" "," archs "${arg_ARCHS}")  # as in a list of arguments nothing else survives
    set(build "$<TARGET_FILE:mhc::prebuild>" --archs "${archs}" --shapes "${shapes}")
    set(needs mhc::prebuild "${shapes}")
    foreach(worker IN ITEMS mhc-jitc mhc_clang)  # of this build, where the library is built in it
        if(TARGET ${worker})
            list(APPEND needs ${worker})
        endif()
    endforeach()
    if(arg_SIGN)
        get_filename_component(key "${arg_SIGN}" ABSOLUTE)
        list(APPEND build --sign "${key}")
        list(APPEND needs "${key}")
    endif()
    set(what "Compiling kernels of ${arg_TARGET} for ${archs}")

    if(arg_EMBED)
        set(folder "${CMAKE_CURRENT_BINARY_DIR}/${arg_TARGET}.embedded")
        add_custom_command(
            OUTPUT "${folder}/embedded.cpp"
            COMMAND "${CMAKE_COMMAND}" -E rm -rf "${folder}"
            COMMAND ${build} --out "${folder}"
            COMMAND "${CMAKE_COMMAND}" "-DFOLDER=${folder}" -P "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/mhc_jit_embed.cmake"
            DEPENDS ${needs}
            COMMENT "${what}" VERBATIM)
        set_source_files_properties("${folder}/embedded.cpp" PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
        target_sources(${arg_TARGET} PRIVATE "${folder}/embedded.cpp")
        return()
    endif()

    # Made anew: an architecture that is no longer asked for must not be found, nor installed.
    set(folder "$<TARGET_FILE_DIR:${arg_TARGET}>/$<TARGET_FILE_NAME:${arg_TARGET}>.prebuilt")
    set(stamp "${CMAKE_CURRENT_BINARY_DIR}/${arg_TARGET}.prebuilt$<CONFIG>.stamp")
    add_custom_command(
        OUTPUT "${stamp}"
        COMMAND "${CMAKE_COMMAND}" -E rm -rf "${folder}"
        COMMAND ${build} --out "${folder}"
        COMMAND "${CMAKE_COMMAND}" -E touch "${stamp}"
        DEPENDS ${needs}
        COMMENT "${what}" VERBATIM)
    add_custom_target(${arg_TARGET}_prebuilt DEPENDS "${stamp}")
    add_dependencies(${arg_TARGET} ${arg_TARGET}_prebuilt)
    install(DIRECTORY "${folder}/" DESTINATION "lib/mhc/prebuilt/$<TARGET_FILE_NAME:${arg_TARGET}>"
        FILES_MATCHING PATTERN "mhc_*.db" PATTERN "mhc_*.json" PATTERN "mhc_*.json.sig")
endfunction()
