// runtime/compilers/clang_disassemble.cpp -- the functions of a code object as text, one instruction a line.
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
#include <llvm/Object/ELFObjectFile.h>
#include <llvm/Support/Format.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/SubtargetFeature.h>
#include <llvm/TargetParser/Triple.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/compilers/clang_plugin.hpp"
#include "runtime/compilers/llvm_version.hpp"

namespace {

using llvm::object::ELFObjectFileBase;

/// A function's place in the object.
struct function {
    std::string name;
    uint64_t address = 0;
    llvm::ArrayRef<uint8_t> bytes;
};

/// LLVM's parts for one target; each keeps a pointer to those before it.
struct machine {
    llvm::MCTargetOptions options;
    std::unique_ptr<llvm::MCRegisterInfo> registers;
    std::unique_ptr<llvm::MCAsmInfo> syntax;
    std::unique_ptr<llvm::MCSubtargetInfo> subtarget;
    std::unique_ptr<llvm::MCInstrInfo> instructions;
    std::unique_ptr<llvm::MCContext> context;
    std::unique_ptr<llvm::MCDisassembler> disassembler;
    std::unique_ptr<llvm::MCInstPrinter> printer;
    std::unique_ptr<llvm::MCInstrAnalysis> analysis;
};

bool make(machine& made, const ELFObjectFileBase& object, std::string& why)
{
    const llvm::Triple triple =
        object.getArch() == llvm::Triple::amdgcn ? llvm::Triple("amdgcn-amd-amdhsa") : object.makeTriple();
    const auto name = mhc::runtime::compilers::registry_name(triple);
    const llvm::Target* target = llvm::TargetRegistry::lookupTarget(name, why);
    if (target == nullptr) return false;
    const std::string processor = object.tryGetCPUName().value_or("").str();
    std::string features;
    if (triple.isAMDGPU()) {
        if (llvm::Expected<llvm::SubtargetFeatures> found = object.getFeatures())
            features = found->getString();
        else
            llvm::consumeError(found.takeError());
    } else if (triple.isX86()) {
        // The encoding says which extension an instruction is of; what is left out here would not be decoded.
        features =
            "+avx2,+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx512bf16,+avx512fp16,+fma,+f16c,+bmi,+bmi2,+lzcnt,+popcnt";
    } else {
        features = "+all";
    }
    made.registers.reset(target->createMCRegInfo(name));
    made.syntax.reset(target->createMCAsmInfo(*made.registers, name, made.options));
    made.subtarget.reset(target->createMCSubtargetInfo(name, processor, features));
    made.instructions.reset(target->createMCInstrInfo());
    if (!made.registers || !made.syntax || !made.subtarget || !made.instructions) {
        why = "this LLVM has no assembler for " + triple.str();
        return false;
    }
    made.context = std::make_unique<llvm::MCContext>(triple, made.syntax.get(), made.registers.get(), made.subtarget.get());
    made.disassembler.reset(target->createMCDisassembler(*made.subtarget, *made.context));
    made.printer.reset(target->createMCInstPrinter(triple, made.syntax->getAssemblerDialect(), *made.syntax,
                                                   *made.instructions, *made.registers));
    made.analysis.reset(target->createMCInstrAnalysis(made.instructions.get()));
    if (!made.disassembler || !made.printer) why = "this LLVM has no disassembler for " + triple.str();
    return made.disassembler && made.printer;
}

template <class T>
std::optional<T> value_of(llvm::Expected<T> expected)
{
    if (expected) return std::move(*expected);
    llvm::consumeError(expected.takeError());
    return std::nullopt;
}

/// The defined functions, by address. A code object may have been stripped, so the dynamic symbols are asked as well.
std::vector<function> functions_of(const ELFObjectFileBase& object)
{
    std::map<uint64_t, function> by_address;
    const auto add = [&](const llvm::object::ELFSymbolRef& symbol) {
        const auto type = value_of(symbol.getType());
        if (!type || *type != llvm::object::SymbolRef::ST_Function || symbol.getSize() == 0) return;
        const auto section = value_of(symbol.getSection());
        const auto address = value_of(symbol.getAddress());
        const auto name = value_of(symbol.getName());
        if (!section || !address || !name || *section == object.section_end()) return;
        const auto contents = value_of((*section)->getContents());
        const uint64_t offset = *address - (*section)->getAddress();
        if (!contents || *address < (*section)->getAddress() || offset >= contents->size()) return;
        const size_t size = std::min<size_t>(symbol.getSize(), contents->size() - offset);
        by_address[*address] = {name->str(), *address, {reinterpret_cast<const uint8_t*>(contents->data()) + offset, size}};
    };
    for (const llvm::object::ELFSymbolRef symbol : object.symbols()) add(symbol);
    for (const llvm::object::ELFSymbolRef symbol : object.getDynamicSymbolIterators()) add(symbol);
    std::vector<function> functions;
    for (auto& [address, found] : by_address) functions.push_back(std::move(found));
    return functions;
}

/// Calls `visit(offset, instruction or null, bytes)` along the code; what does not decode is stepped over.
template <class Visit>
void walk(const machine& on, const function& code, Visit visit)
{
    for (uint64_t at = 0; at < code.bytes.size();) {
        llvm::MCInst instruction;
        uint64_t size = 0;
        const auto state =
            on.disassembler->getInstruction(instruction, size, code.bytes.slice(at), code.address + at, llvm::nulls());
        const uint64_t least = on.syntax->getMinInstAlignment();
        size = std::min<uint64_t>(std::max<uint64_t>(size, least), code.bytes.size() - at);
        visit(at, state == llvm::MCDisassembler::Success ? &instruction : nullptr, size);
        at += size;
    }
}

void print(const machine& on, const function& code, llvm::raw_ostream& out)
{
    std::map<uint64_t, unsigned> labels;
    const auto branch_target = [&](uint64_t at, const llvm::MCInst* instruction, uint64_t size) -> std::optional<uint64_t> {
        uint64_t to = 0;
        if (instruction == nullptr || !on.analysis || !on.analysis->isBranch(*instruction)) return std::nullopt;
        if (!on.analysis->evaluateBranch(*instruction, code.address + at, size, to)) return std::nullopt;
        if (to < code.address || to - code.address >= code.bytes.size()) return std::nullopt;
        return to - code.address;
    };
    walk(on, code, [&](uint64_t at, const llvm::MCInst* instruction, uint64_t size) {
        if (const auto to = branch_target(at, instruction, size)) labels[*to] = 0;
    });
    unsigned number = 0;
    for (auto& [at, label] : labels) label = ++number;

    out << code.name << ":\n";
    walk(on, code, [&](uint64_t at, const llvm::MCInst* instruction, uint64_t size) {
        if (const auto label = labels.find(at); label != labels.end()) out << ".L" << label->second << ":\n";
        std::string text;
        llvm::raw_string_ostream line(text);
        if (instruction != nullptr) {
            on.printer->printInst(instruction, code.address + at, "", *on.subtarget, line);
        } else {
            line << ".byte";
            for (uint64_t i = 0; i < size; ++i) line << (i == 0 ? " " : ", ") << llvm::format_hex(code.bytes[at + i], 4);
        }
        std::replace(text.begin(), text.end(), '\t', ' ');
        out << "    " << llvm::StringRef(text).trim();
        if (const auto to = branch_target(at, instruction, size)) out << "  ; .L" << labels[*to];
        out << '\n';
    });
}

bool disassemble(llvm::StringRef code, llvm::StringRef target, std::string& text, std::string& why)
{
    auto parsed = llvm::object::ObjectFile::createELFObjectFile({code, "code object"});
    if (!parsed) {
        why = llvm::toString(parsed.takeError());
        return false;
    }
    const auto* object = llvm::dyn_cast<ELFObjectFileBase>(parsed->get());
    const bool is_host = target.substr(0, target.find(':')) == "host";
    if (object == nullptr || is_host == (object->getArch() == llvm::Triple::amdgcn)) {
        why = ("not a code object for " + target).str();
        return false;
    }
    machine on;
    if (!make(on, *object, why)) return false;
    llvm::raw_string_ostream out(text);
    for (const function& found : functions_of(*object)) {
        if (out.tell() != 0) out << '\n';
        print(on, found, out);
    }
    out.flush();
    if (text.empty()) why = "the code object has no functions";
    return !text.empty();
}

}  // namespace

int mhc_clang_disassemble(const char* target, const char* code, size_t code_size, mhc_clang_sink text, mhc_clang_sink log,
                          void* context)
{
    LLVMInitializeAMDGPUTargetInfo();
    LLVMInitializeAMDGPUTargetMC();
    LLVMInitializeAMDGPUDisassembler();
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetDisassembler();
    std::string lines, why;
    const bool is_done = disassemble({code, code_size}, target, lines, why);
    if (is_done)
        text(context, lines.data(), lines.size());
    else
        log(context, why.data(), why.size());
    return is_done ? mhc_clang_ok : mhc_clang_failed;
}
