// tests/fuzz/seeds.cpp -- writes a corpus for each fuzzer: `seeds FOLDER` makes FOLDER/<fuzzer>/<number>.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "runtime/compile_protocol.hpp"
#include "tests/support/made_elf.hpp"

namespace {

using namespace mhc;
using namespace mhc::runtime::protocol;
using testing::elf_parts;

const std::string npy_head("\x93NUMPY\x01\x00", 8);

std::string npy(const std::string& header, const std::string& data)
{
    std::string bytes = npy_head;
    bytes += static_cast<char>(header.size() & 0xff);
    bytes += static_cast<char>(header.size() >> 8);
    return bytes + header + data;
}

std::vector<std::string> code_objects()
{
    elf_parts cubin;
    cubin.machine = 190;
    cubin.os_abi = 0x41;
    cubin.abi_version = 8;
    cubin.flags = 90 << 8;
    elf_parts host;
    host.machine = 62;
    host.os_abi = 0;
    host.needed = {"libm.so.6"};
    return {testing::make_elf({}), testing::make_code_object("mhc_post_fwd"), testing::make_elf(cubin),
            testing::make_elf(host), testing::make_cubin("k")};
}

std::vector<std::string> frames()
{
    compile_request request;
    request.job = {"clang", "gfx942", "mhc_post.hip", "// source", {"-O3", "-g"}};
    compile_reply reply;
    reply.result.code = "code";
    reply.result.log = "log";
    reply.result.compiler_name = "clang 19";
    const std::vector<runtime::backend_info> backends{
        {"clang", true, "19", "", {}, {{"/usr/bin/clang", 1, 2, 3, 4}}, {"host", "gfx942"}},
        {"nvrtc", false, "", "absent", {}, {}, {}}};
    return {encode_frame(frame_kind::compile, encode(request)),
            encode_frame(frame_kind::compiled, encode(reply)),
            encode_frame(frame_kind::disassemble, encode(disassemble_request{"gfx942", "code"})),
            encode_frame(frame_kind::disassembled, encode(disassemble_reply{"s_endpgm", ""})),
            encode_frame(frame_kind::identified, encode(backends)),
            encode_frame(frame_kind::identify, "")};
}

const std::vector<std::string> keys = {
    R"({"abi":"1","family":"post_fwd","plan.hidden_dim":"4096","target":"gfx942","toolchain":"clang 00{}"})",
    R"({"toolchain":"x"})",
    R"({"a":1})",
    R"({"backend":"clang","version":"19.1.7","targets":["gfx942"]})",
    "[]",
    "{}"};

const std::vector<std::string> archs = {
    "gfx942;gfx90a", " gfx942:sramecc+:xnack- , sm_90a", "all", "host:x86-64-v3", "host", ";;", "gfx9-4-generic"};

const std::vector<std::string> shapes = {
    "hidden_dim=4096 n_streams=4 dtype=bf16 operators=pre_fwd,post_fwd # a comment\n\n",
    "hidden_dim=1280 preset=deepseek sinkhorn_iters=20 rms_eps=1e-6\nhidden_dim=64 n_streams=2 dtype=fp32 operators=all\n",
    "n_streams=4\n", "hidden_dim=1e3\n"};

const std::vector<std::string> manifests = {
    R"({"format": 1, "target": "gfx942", "database": "mhc_gfx942.db", "database_sha256": "SHA256", "kernels": []})",
    R"({"database_sha256": 1})", R"({"database_sha256": "00", "signature": {"key": "AA==", "ed25519": "BB=="}})", "SHA256"};

std::vector<std::string> arrays()
{
    const std::string two("\0\0\x80\x3f\0\0\0\x40", 8);
    return {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", two),
            npy("{'descr': '<f4', 'fortran_order': False, 'shape': (), }\n", two.substr(0, 4)),
            npy("{'descr': '<f8', 'fortran_order': True, 'shape': (1, 1), }\n", two),
            npy("{'descr': [('a', '<f4'), ('b', '<i8')], 'fortran_order': False, 'shape': (99999999999, 9), }\n", ""),
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"};
}

void write(const std::filesystem::path& folder, const std::vector<std::string>& seeds)
{
    std::filesystem::create_directories(folder);
    for (std::size_t i = 0; i < seeds.size(); ++i) std::ofstream(folder / std::to_string(i), std::ios::binary) << seeds[i];
}

}  // namespace

int main(int count, char** arguments)
{
    if (count != 2) return std::fprintf(stderr, "usage: seeds FOLDER\n"), 2;
    const std::filesystem::path folder = arguments[1];
    write(folder / "key_json", keys);
    write(folder / "code_object", code_objects());
    write(folder / "protocol", frames());
    write(folder / "gpu_archs", archs);
    write(folder / "shapes", shapes);
    write(folder / "npy", arrays());
    write(folder / "manifest", manifests);
    return 0;
}
