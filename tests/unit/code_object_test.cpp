// tests/unit/code_object_test.cpp -- ELF objects made here, good and hostile, before the reader.
#include "runtime/code_object.hpp"

#include <doctest/doctest.h>
#include <elf.h>

#include <cstring>
#include <random>

#include "runtime/msgpack.hpp"
#include "tests/support/made_elf.hpp"

namespace {

using namespace mhc::runtime;
using namespace mhc::testing;

std::string objection(const std::string& elf, const char* target, const char* name = "k")
{
    const auto verified = verify_code_object(elf, target, name);
    return verified ? "" : verified.error().message;
}

#if defined(__aarch64__)
constexpr std::uint16_t this_machine = EM_AARCH64;
#else
constexpr std::uint16_t this_machine = EM_X86_64;
#endif

}  // namespace

TEST_CASE("code object: an object for the target with its symbol is accepted, any other is named")
{
    CHECK(objection(make_elf({}), "gfx942") == "");
    CHECK(objection(make_elf({}), "gfx90a") == "the object is for gfx942, not gfx90a");
    CHECK(objection(make_elf({}), "gfx942", "other") == "the object has no function other");
    CHECK(objection(make_elf({}), "gfx000") == "\"gfx000\" is no target that is known");
    CHECK(objection(make_elf({.symbols = {{"k"}}}), "gfx942") == "the object has no kernel descriptor k.kd");
    CHECK(objection(make_elf({.symbols = {{"k", STT_FUNC, false}, {"k.kd", STT_OBJECT}}}), "gfx942") ==
          "the object has no function k");
    CHECK(objection(make_elf({.machine = EM_X86_64}), "gfx942").find("not an AMD GPU") != std::string::npos);
    CHECK(objection(make_elf({.abi_version = 2, .flags = 0x53f}), "gfx90a") == "");
    CHECK(objection(make_elf({.abi_version = 4, .flags = 0x0100004c}), "gfx942") == "");
    CHECK(objection(make_elf({.abi_version = 1}), "gfx942") == "code object version 3 is none of 4, 5 and 6");
    CHECK(objection(make_elf({.flags = 0x5fe}), "gfx942").find("unknown processor (0xfe)") != std::string::npos);
}

TEST_CASE("code object: xnack and sramecc: any setting serves all, a fixed one only who asks for it")
{
    constexpr std::uint32_t xnack_any = 0x100, xnack_off = 0x200, xnack_on = 0x300, ecc_any = 0x400, ecc_off = 0x800,
                            ecc_on = 0xc00;
    const auto verify = [](std::uint32_t bits, const char* target) {
        return objection(make_elf({.flags = 0x3f | bits}), target).empty();
    };
    for (const char* target : {"gfx90a", "gfx90a:xnack+", "gfx90a:xnack-", "gfx90a:sramecc+:xnack-"}) {
        CHECK(verify(xnack_any | ecc_any, target));
        CHECK(verify(0, target));
    }
    CHECK(verify(xnack_off | ecc_any, "gfx90a:xnack-"));
    CHECK(verify(xnack_off | ecc_on, "gfx90a:sramecc+:xnack-"));
    CHECK(verify(xnack_on | ecc_any, "gfx90a:xnack+"));
    CHECK(!verify(xnack_off | ecc_any, "gfx90a"));
    CHECK(!verify(xnack_off | ecc_any, "gfx90a:xnack+"));
    CHECK(!verify(xnack_on | ecc_any, "gfx90a:xnack-"));
    CHECK(!verify(xnack_any | ecc_off, "gfx90a:sramecc+"));
    CHECK(!verify(xnack_any | ecc_on, "gfx90a:xnack-"));
}

TEST_CASE("code object: a host object is of this machine and needs memcpy and memset at most")
{
    const elf_parts good{.machine = this_machine,
                         .os_abi = 0,
                         .abi_version = 0,
                         .flags = 0,
                         .symbols = {{"k"}, {"memcpy", STT_NOTYPE, false}, {"memset", STT_NOTYPE, false}}};
    CHECK(objection(make_elf(good), "host") == "");
    CHECK(objection(make_elf(good), "host:x86-64-v3") == "");
    CHECK(objection(make_elf(good), "host", "other") == "the object has no function other");
    elf_parts bad = good;
    bad.symbols.push_back({"system", STT_NOTYPE, false});
    CHECK(objection(make_elf(bad), "host") == "the object needs system, which is not memcpy or memset");
    bad = good;
    bad.needed = {"libm.so.6"};
    CHECK(objection(make_elf(bad), "host") == "the object needs the library libm.so.6");
    bad = good;
    bad.machine = EM_RISCV;
    CHECK(objection(make_elf(bad), "host").find("ELF machine 243") != std::string::npos);
}

TEST_CASE("code object: the metadata gives registers, LDS, scratch, spills and arguments")
{
    const auto kernels = read_metadata(make_elf({.note = metadata({.vgprs = 114, .agprs = 1, .sgprs = 40, .lds = 28})}));
    REQUIRE(kernels);
    REQUIRE(kernels->size() == 1);
    const kernel_metadata& k = kernels->front();
    CHECK(k.name == "k");
    CHECK(k.target == "amdgcn-amd-amdhsa--gfx942");
    CHECK(k.resources.vgprs == 114);
    CHECK(k.resources.agprs == 1);
    CHECK(k.resources.sgprs == 40);
    CHECK(k.resources.lds_bytes == 28);
    CHECK(k.resources.scratch_bytes == 16);
    CHECK(k.resources.vgpr_spills == 3);
    CHECK(k.resources.sgpr_spills == 4);
    CHECK(k.resources.kernarg_bytes == 24);
    CHECK(k.resources.max_workgroup == 256);
    CHECK(k.resources.wave_size == 64);
    CHECK(k.resources.waves_per_simd == 4);
    REQUIRE(k.args.size() == 1);
    CHECK(k.args[0].value_kind == "global_buffer");
    CHECK(k.args[0].offset == 8);
    CHECK(k.args[0].size == 8);
}

TEST_CASE("code object: wavefronts of a SIMD, by registers and LDS")
{
    const auto waves = [](std::uint32_t flags, const kernel_uses& uses) {
        const auto kernels = read_metadata(make_elf({.flags = flags, .note = metadata(uses)}));
        REQUIRE(kernels);
        return kernels->front().resources.waves_per_simd;
    };
    constexpr std::uint32_t gfx908 = 0x30, gfx90a = 0x3f, gfx942 = 0x4c, gfx950 = 0x4f, gfx1030 = 0x36, gfx1100 = 0x41,
                            gfx1102 = 0x47;
    CHECK(waves(gfx942, {.vgprs = 64}) == 8);
    CHECK(waves(gfx942, {.vgprs = 65}) == 7);
    CHECK(waves(gfx90a, {.vgprs = 312, .agprs = 64}) == 1);
    CHECK(waves(gfx908, {.vgprs = 20}) == 10);
    CHECK(waves(gfx908, {.vgprs = 32, .agprs = 64}) == 4);
    CHECK(waves(gfx908, {.vgprs = 20, .sgprs = 96}) == 8);
    CHECK(waves(gfx1030, {.vgprs = 64, .wave = 32}) == 16);
    CHECK(waves(gfx1030, {.vgprs = 65, .wave = 32}) == 12);
    CHECK(waves(gfx1100, {.vgprs = 97, .wave = 32}) == 12);
    CHECK(waves(gfx1102, {.vgprs = 97, .wave = 32}) == 9);
    CHECK(waves(gfx942, {.lds = 20480, .workgroup = 256}) == 3);  // three groups of four wavefronts
    CHECK(waves(gfx942, {.lds = 26624, .workgroup = 256}) == 2);
    CHECK(waves(gfx950, {.lds = 20480, .workgroup = 256}) == 8);
    CHECK(waves(gfx942, {.vgprs = 0xffffffff}) == 0);
    CHECK(waves(gfx942, {.lds = 70000}) == 8);  // more than there is: no such launch, and no division by nothing
}

TEST_CASE("code object: what is no ELF file, or a broken one, is said to be")
{
    CHECK(objection("", "gfx942").find("less than a header") != std::string::npos);
    CHECK(objection(std::string(100, 'x'), "gfx942").find("magic") != std::string::npos);
    std::string elf = make_elf({});
    elf[EI_CLASS] = ELFCLASS32;
    CHECK(objection(elf, "gfx942").find("64-bit") != std::string::npos);
    CHECK(!read_metadata(make_elf({.note = ""})));
    CHECK(!read_metadata(make_elf({.note = "\xc1"})));
    const std::string whole = metadata({});
    for (std::size_t size = 0; size < whole.size(); ++size) CHECK(!read_metadata(make_elf({.note = whole.substr(0, size)})));
    const std::string object = make_elf({});
    for (std::size_t size = 0; size < object.size(); ++size) {
        const auto kernels = read_metadata(std::string_view(object).substr(0, size));
        CHECK(!kernels);
    }
}

TEST_CASE("code object: 2,000 mutations of an object are read or refused")
{
    const std::string good = make_elf({});
    std::mt19937 random(20260102);
    int accepted = 0;
    for (int round = 0; round < 2000; ++round) {
        std::string bytes = good;
        for (unsigned i = 1 + random() % 8; i > 0; --i) {
            const std::size_t at = random() % bytes.size();
            bytes[at] = random() % 4 == 0 ? '\xff' : static_cast<char>(random());
        }
        if (random() % 8 == 0) bytes.resize(random() % bytes.size());
        accepted += read_metadata(bytes) ? 1 : 0;
        accepted += verify_code_object(bytes, "gfx942", "k") ? 1 : 0;
        accepted += verify_code_object(bytes, "host", "k") ? 1 : 0;
    }
    CHECK(accepted > 0);
    CHECK(accepted < 6000);
}

TEST_CASE("msgpack: every kind of value can be stepped over, and no nesting is too deep")
{
    const std::string kinds =
        std::string("\x05\xff\xc0\xc2\xc3", 5) + std::string("\xc4\x01z", 3) + std::string("\xc7\x01\x05z", 4) +
        std::string("\xca\0\0\0\0", 5) + std::string("\xcb\0\0\0\0\0\0\0\0", 9) + std::string("\xcc\x01\xd0\x01", 4) +
        std::string("\xd4\x01z", 3) + std::string("\xa1z\xd9\x01z", 5) + std::string("\x91\x01\x81\x01\x02", 5);
    msgpack_reader from(kinds);
    for (int i = 0; i < 16; ++i) from.skip();
    CHECK(from.good());
    from.skip();
    CHECK(!from.good());

    const std::string deep(1 << 20, '\x91');
    msgpack_reader nested(deep);
    nested.skip();
    CHECK(!nested.good());
    msgpack_reader wide(std::string_view("\xdd\xff\xff\xff\xff", 5));
    CHECK(wide.array() == 0);
    CHECK(!wide.good());
    msgpack_reader signed_kinds(std::string_view("\xd0\x7f\xd1\x01\x00\xd0\xff", 7));
    CHECK(signed_kinds.number() == 127);
    CHECK(signed_kinds.number() == 256);
    signed_kinds.number();
    CHECK(!signed_kinds.good());
}
