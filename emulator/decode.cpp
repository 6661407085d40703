// emulator/decode.cpp -- LLVM's disassembler and printer, once a code object; then each line is read.
#include "emulator/decode.hpp"

#include <fmt/format.h>
#include <llvm/MC/MCAsmInfo.h>
#include <llvm/MC/MCContext.h>
#include <llvm/MC/MCDisassembler/MCDisassembler.h>
#include <llvm/MC/MCInst.h>
#include <llvm/MC/MCInstPrinter.h>
#include <llvm/MC/MCInstrAnalysis.h>
#include <llvm/MC/MCInstrInfo.h>
#include <llvm/MC/MCRegisterInfo.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/MC/MCTargetOptions.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Triple.h>

#include <algorithm>
#include <charconv>

#include "emulator/coverage.hpp"
#include "emulator/handlers.hpp"
#include "emulator/indexed.hpp"
#include "emulator/instruction_names.hpp"
#include "emulator/read_line.hpp"
#include "runtime/compilers/llvm_version.hpp"

namespace mhc::emulator {
namespace {

/// LLVM's parts for one processor; each keeps a pointer to those before it.
struct disassembler {
    llvm::MCTargetOptions options;
    std::unique_ptr<llvm::MCRegisterInfo> registers;
    std::unique_ptr<llvm::MCAsmInfo> syntax;
    std::unique_ptr<llvm::MCSubtargetInfo> subtarget;
    std::unique_ptr<llvm::MCInstrInfo> instructions;
    std::unique_ptr<llvm::MCContext> context;
    std::unique_ptr<llvm::MCDisassembler> decoder;
    std::unique_ptr<llvm::MCInstPrinter> printer;
    std::unique_ptr<llvm::MCInstrAnalysis> analysis;
};

jit::result<void> make(disassembler& made, std::string_view processor, u32 wave_size)
{
    const auto fail = [](std::string why) { return jit::failure{jit::errc::load_failed, std::move(why)}; };
    LLVMInitializeAMDGPUTargetInfo();
    LLVMInitializeAMDGPUTargetMC();
    LLVMInitializeAMDGPUDisassembler();
    const llvm::Triple triple("amdgcn-amd-amdhsa");
    const auto name = runtime::compilers::registry_name(triple);
    std::string why;
    const llvm::Target* target = llvm::TargetRegistry::lookupTarget(name, why);
    if (target == nullptr) return fail("this LLVM has no AMDGPU target: " + why);
    // The code is of one wave size, which decides what a mask is called: vcc or vcc_lo.
    const std::string features = wave_size == 32 ? "+wavefrontsize32" : "+wavefrontsize64";
    made.registers.reset(target->createMCRegInfo(name));
    made.syntax.reset(target->createMCAsmInfo(*made.registers, name, made.options));
    made.subtarget.reset(target->createMCSubtargetInfo(name, llvm::StringRef(processor.data(), processor.size()), features));
    made.instructions.reset(target->createMCInstrInfo());
    if (!made.registers || !made.syntax || !made.subtarget || !made.instructions)
        return fail(fmt::format("this LLVM has no assembler for {}", processor));
    made.context = std::make_unique<llvm::MCContext>(triple, made.syntax.get(), made.registers.get(), made.subtarget.get());
    made.decoder.reset(target->createMCDisassembler(*made.subtarget, *made.context));
    made.printer.reset(target->createMCInstPrinter(triple, made.syntax->getAssemblerDialect(), *made.syntax,
                                                   *made.instructions, *made.registers));
    made.analysis.reset(target->createMCInstrAnalysis(made.instructions.get()));
    if (!made.decoder || !made.printer || !made.analysis)
        return fail(fmt::format("this LLVM has no disassembler for {}", processor));
    return {};
}

/// 9 of "gfx942", 11 of "gfx1100".
int generation_of(std::string_view processor)
{
    int number = 0;
    const std::string_view digits = processor.substr(3, processor.size() - 5);
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return number;
}

}  // namespace

jit::result<std::unique_ptr<program>> decode(std::string_view processor, std::string_view code, u64 address, u32 wave_size)
{
    disassembler on;
    if (auto ok = make(on, processor, wave_size); !ok) return ok.error();
    auto made = std::make_unique<program>();
    made->begin = address;
    made->at_word.assign(code.size() / 4 + 1, program::no_operation);
    const llvm::ArrayRef<u8> bytes(reinterpret_cast<const u8*>(code.data()), code.size());

    std::vector<u64> targets;  // of branches, as addresses; others 0
    for (std::size_t at = 0; at + 4 <= bytes.size();) {
        llvm::MCInst instruction;
        u64 size = 0, target = 0;
        const bool is_decoded = on.decoder->getInstruction(instruction, size, bytes.slice(at), address + at,
                                                           llvm::nulls()) == llvm::MCDisassembler::Success;
        if (!is_decoded) size = 4;
        std::string text;
        llvm::raw_string_ostream line(text);
        if (is_decoded) {
            on.printer->printInst(&instruction, address + at, "", *on.subtarget, line);
            if (!on.analysis->isBranch(instruction) || !on.analysis->evaluateBranch(instruction, address + at, size, target))
                target = 0;
        } else {
            line << "no instruction";
        }
        line.flush();
        std::replace(text.begin(), text.end(), '\t', ' ');
        text.erase(0, std::min(text.find_first_not_of(' '), text.size()));
        made->at_word[at / 4] = static_cast<u32>(made->texts.size());
        made->texts.push_back(std::move(text));
        operation& op = made->operations.emplace_back();
        op.address = address + at;
        targets.push_back(target);
        at += static_cast<std::size_t>(size);
    }
    made->texts.push_back("the end of the code");
    made->operations.emplace_back().address = address + code.size();
    made->operations.back().run = run_unknown;

    const int generation = generation_of(processor);
    for (std::size_t i = 0; i < made->operations.size(); ++i) {
        operation& op = made->operations[i];
        op.text = &made->texts[i];
        // A dual issue is counted as its first half, and both halves are vector arithmetic.
        made->rules.push_back(counting_rule_of(canonical_name(made->texts[i].substr(0, made->texts[i].find(' ')))));
        if (op.run == nullptr) read_line(made->texts[i], generation, *made, op);
        if (i >= targets.size() || targets[i] == 0) continue;
        const u64 word = (targets[i] - address) / 4;
        op.target = word < made->at_word.size() ? made->at_word[static_cast<std::size_t>(word)] : program::no_operation;
        if (op.target == program::no_operation) op.run = run_unknown;
    }
    mark_indexed(*made);
    watch(*made);
    return made;
}

}  // namespace mhc::emulator
