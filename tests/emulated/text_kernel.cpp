// tests/emulated/text_kernel.cpp -- lines to a code image, without an object file.
#include "tests/emulated/text_kernel.hpp"

#include <algorithm>
#include <map>
#include <sstream>

#include "emulator/indexed.hpp"
#include "emulator/instruction_names.hpp"
#include "emulator/read_line.hpp"

namespace mhc::emulator::testing {
namespace {

std::string trimmed(const std::string& line)
{
    const std::size_t begin = line.find_first_not_of(' ');
    return begin == std::string::npos ? std::string() : line.substr(begin);
}

}  // namespace

text_kernel::text_kernel(std::string_view processor, std::string_view lines)
{
    image_.processor = processor;
    image_.code = std::make_unique<program>();
    program& code = *image_.code;
    std::map<std::string, u32> labels;
    std::istringstream text{std::string(lines)};
    for (std::string line; std::getline(text, line);) {
        line = trimmed(line);
        if (line.ends_with(':'))
            labels[line.substr(0, line.size() - 1)] = static_cast<u32>(code.texts.size());
        else if (!line.empty())
            code.texts.push_back(line);
    }
    const int generation = processor.starts_with("gfx9") ? 9 : processor.starts_with("gfx11") ? 11 : 12;
    code.operations.resize(code.texts.size());
    for (u32 i = 0; i < code.texts.size(); ++i) {
        operation& op = code.operations[i];
        op.text = &code.texts[i];
        op.address = u64{i} * 4;
        read_line(code.texts[i], generation, code, op);
        code.at_word.push_back(i);
        code.rules.push_back(counting_rule_of(canonical_name(code.texts[i].substr(0, code.texts[i].find(' ')))));
        const auto label = labels.find(code.texts[i].substr(code.texts[i].find(' ') + 1));
        if (label != labels.end()) op.target = label->second;
    }
    mark_indexed(code);
    image_.code_effects = effects_of(code);
    kernel_entry made;
    made.name = "text";
    made.wave_size = generation == 9 ? 64 : 32;
    made.argument_bytes = 64;
    made.has_argument_ptr = made.has_group_x = true;
    made.user_scalars = 2;
    image_.kernels.push_back(made);
}

jit::result<launch_counts> text_kernel::launch()
{
    memory_map memory;
    const auto begin = reinterpret_cast<std::uintptr_t>(buffer.data());
    memory.add({begin, buffer.size() * sizeof(u32), "buffer 1", true});
    runtime::thread_pool threads;
    return emulator::launch({.image = &image_,
                             .kernel = &image_.kernels.front(),
                             .groups = groups,
                             .groups_y = groups_y,
                             .groups_z = groups_z,
                             .block = block,
                             .arguments = &begin,
                             .argument_bytes = sizeof(begin),
                             .instructions_max = instructions_max,
                             .lds_bytes = lds_bytes,
                             .checks_all = checks_all,
                             .record = record},
                            std::move(memory), threads);
}

std::string text_kernel::message()
{
    const auto done = launch();
    return done ? "no fault" : done.error().message;
}

}  // namespace mhc::emulator::testing
