# Databases of compiled kernels, built with the project and installed where the library looks for them:
#
#   PREBUILD_KERNELS=2 GPU_ARCHS="gfx942;gfx90a" cmake --preset release
#
# The variables are read from the environment at the first configure and kept in the cache (a build that configures itself
# again must not depend on the shell it runs in); later, -DMHC_PREBUILD_KERNELS= and -DMHC_GPU_ARCHS= change them.

# Cache variable MHC_<name>: what it was, else MHC_<name> or <name> of the environment, else the default.
function(mhc_read_once name default help)
    if(DEFINED ENV{MHC_${name}})
        set(default "$ENV{MHC_${name}}")
    elseif(DEFINED ENV{${name}})
        set(default "$ENV{${name}}")
    endif()
    set(MHC_${name} "${default}" CACHE STRING "${help}")
    if(DEFINED CACHE{${name}})  # -D<name>= means the same; taking it over once leaves one variable
        set(MHC_${name} "${${name}}" CACHE STRING "${help}" FORCE)
        unset(${name} CACHE)
    endif()
endfunction()

mhc_read_once(PREBUILD_KERNELS 0 "Kernels to compile with the project: 0 none, 1 forward and backward, 2 forward, 3 a layer's only")
mhc_read_once(GPU_ARCHS native "Architectures to compile them for, such as gfx942;gfx90a; native; all")

if(NOT MHC_PREBUILD_KERNELS MATCHES "^[0-3]$")
    message(FATAL_ERROR "MHC_PREBUILD_KERNELS is '${MHC_PREBUILD_KERNELS}'; allowed are 0 (none), 1, 2 and 3")
endif()

if(MHC_PREBUILD_KERNELS GREATER 0)
    if(NOT TARGET mhc-prebuild)
        message(FATAL_ERROR "MHC_PREBUILD_KERNELS is ${MHC_PREBUILD_KERNELS}, which needs the tools: set MHC_JIT_BUILD_TOOLS=ON")
    endif()

    # mhc-prebuild takes `,` as well as `;`, and only `,` survives in a list of arguments.
    string(REPLACE ";" "," mhc_archs "${MHC_GPU_ARCHS}")
    # In the build tree at the place the installed one has, so that the library finds it in either.
    set(mhc_prebuilt_dir "${PROJECT_BINARY_DIR}/${CMAKE_INSTALL_LIBDIR}/mhc/prebuilt")
    set(mhc_prebuilt_stamp "${PROJECT_BINARY_DIR}/mhc_prebuilt.stamp")

    set(mhc_prebuild_needs mhc-prebuild)
    foreach(target IN ITEMS mhc-jitc mhc_clang)
        if(TARGET ${target})
            list(APPEND mhc_prebuild_needs ${target})
        endif()
    endforeach()

    # The folder is made anew: an architecture that is no longer asked for must not be installed.
    add_custom_command(
        OUTPUT "${mhc_prebuilt_stamp}"
        COMMAND "${CMAKE_COMMAND}" -E rm -rf "${mhc_prebuilt_dir}"
        COMMAND mhc-prebuild --archs "${mhc_archs}" --level ${MHC_PREBUILD_KERNELS} --out "${mhc_prebuilt_dir}"
        COMMAND "${CMAKE_COMMAND}" -E touch "${mhc_prebuilt_stamp}"
        DEPENDS ${mhc_prebuild_needs}
        COMMENT "Compiling kernels of level ${MHC_PREBUILD_KERNELS} for ${mhc_archs}"
        USES_TERMINAL VERBATIM)
    add_custom_target(mhc_prebuilt ALL DEPENDS "${mhc_prebuilt_stamp}")

    install(DIRECTORY "${mhc_prebuilt_dir}/" DESTINATION "${CMAKE_INSTALL_LIBDIR}/mhc/prebuilt"
        FILES_MATCHING PATTERN "mhc_*.db" PATTERN "mhc_*.json")
endif()
