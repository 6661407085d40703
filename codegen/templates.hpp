// codegen/templates.hpp -- the text of templates/, embedded at build time.
#pragma once

#include <span>
#include <string_view>

namespace mhc::codegen {

struct template_file {
    std::string_view name;  ///< "post.in", "device/mix.hpp"
    std::string_view text;
};

std::span<const template_file> template_files();

}  // namespace mhc::codegen
