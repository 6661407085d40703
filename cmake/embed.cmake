# Writes FILES (a list, relative to DIRECTORY) as raw string literals into OUTPUT, behind codegen/templates.hpp.
set(entries "")
set(count 0)
foreach(name IN LISTS FILES)
    file(READ "${DIRECTORY}/${name}" text)
    string(APPEND entries "    {\"${name}\", R\"mhc(${text})mhc\"},\n")
    math(EXPR count "${count} + 1")
endforeach()
file(WRITE "${OUTPUT}" "// Generated from templates/. Do not edit.
#include \"codegen/templates.hpp\"

namespace mhc::codegen {

static constexpr template_file files[] = {
${entries}};

std::span<const template_file> template_files() { return files; }

}  // namespace mhc::codegen
")
