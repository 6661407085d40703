// tests/emulated/text_kernel.hpp -- a kernel written as lines of assembly, launched with one buffer.
//
// A line is an instruction as LLVM prints it, or a label and a colon; branches name labels. At the start s[0:1] is the
// address of the arguments, whose first 8 bytes are the buffer's, s2 the work-group's number (ttmp9 on gfx12) and v0 the
// work-item's.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "emulator/launch.hpp"

namespace mhc::emulator::testing {

class text_kernel {
public:
    text_kernel(std::string_view processor, std::string_view lines);

    kernel_entry& entry() { return image_.kernels.front(); }
    i32 block = 64;
    i64 groups = 1;
    u32 groups_y = 1, groups_z = 1;
    std::vector<u32> buffer = std::vector<u32>(1024);
    u64 instructions_max = 100'000;
    u32 lds_bytes = 0;  ///< of the launch
    bool checks_all = true;
    launch_record* record = nullptr;

    jit::result<launch_counts> launch();
    /// What the launch said, or "no fault".
    std::string message();

private:
    code_image image_;
};

}  // namespace mhc::emulator::testing
