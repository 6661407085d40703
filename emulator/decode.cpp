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

#include "emulator/assembly.hpp"
#include "emulator/handlers.hpp"
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

bool has_half_type(std::string_view name)
{
    const std::string_view type = name.substr(name.rfind('_') + 1);
    return type == "f16" || type == "u16" || type == "i16" || type == "b16";
}

/// Operations on 16 bits: op_sel becomes parts of the operands, and from gfx10 on the other half of a result stays.
void choose_halves(std::string_view name, int generation, operation& op)
{
    const bool is_own_form = name.starts_with("v_pk_") || name.starts_with("v_fma_mix") || name.starts_with("v_permlane") ||
                             !name.starts_with("v_");
    if (is_own_form) return;
    const bool converts_from = name == "v_cvt_f32_f16", packs = name == "v_pack_b32_f16";
    const bool converts_to = name == "v_cvt_f16_f32";
    const bool is_half = has_half_type(name) || converts_to;
    if (op.op_sel != 0 && !is_half) throw unreadable(fmt::format("op_sel on {} is not understood", name));
    for (u32 i = 0; i < op.from_count && op.op_sel != 0; ++i)
        if ((op.op_sel >> i & 1) != 0) op.from[i].selected = part::word_1;
    const bool writes_half = is_half && !converts_from && !packs && !name.starts_with("v_cmp");
    if (!writes_half || op.to[0].kind != operand_kind::vector || op.written != part::dword) return;
    const bool is_high = (op.op_sel >> op.from_count & 1) != 0 || op.to[0].selected == part::word_1;
    if (!is_high && generation < 10) return;
    op.written = is_high ? part::word_1 : part::word_0;
    op.keeps_unused = true;
}

class reader {
public:
    reader(program& into, int generation) : made_(into), generation_(generation) {}

    /// Fills `op` from a line; `op.run` stays run_unknown where it is not understood.
    void read(std::string_view line, operation& op)
    {
        constexpr std::string_view both = " :: ";
        op.run = run_unknown;
        try {
            const std::size_t separator = line.find(both);
            if (separator == std::string_view::npos) {
                read_one(line, op);
                return;
            }
            operation first = op, second = op;
            if (!read_one(trimmed(line.substr(0, separator)), first) ||
                !read_one(trimmed(line.substr(separator + both.size())), second))
                return;
            op.run = run_dual;
            op.other = static_cast<u32>(made_.halves.size());
            op.to = first.to;
            made_.halves.push_back(first);
            made_.halves.push_back(second);
        } catch (const unreadable&) {
            op.run = run_unknown;
        }
    }

private:
    static std::string_view trimmed(std::string_view text)
    {
        while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
        while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
        return text;
    }
    bool read_one(std::string_view text, operation& op)
    {
        operation read = op;
        read.run = nullptr;
        const std::string name = read_instruction(text, read);
        if (read.run == nullptr) return false;
        choose_halves(name, generation_, read);
        op = read;
        return true;
    }

    program& made_;
    int generation_;
};

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

    reader lines(*made, generation_of(processor));
    for (std::size_t i = 0; i < made->operations.size(); ++i) {
        operation& op = made->operations[i];
        op.text = &made->texts[i];
        if (op.run == nullptr) lines.read(made->texts[i], op);
        if (i >= targets.size() || targets[i] == 0) continue;
        const u64 word = (targets[i] - address) / 4;
        op.target = word < made->at_word.size() ? made->at_word[static_cast<std::size_t>(word)] : program::no_operation;
        if (op.target == program::no_operation) op.run = run_unknown;
    }
    return made;
}

}  // namespace mhc::emulator
