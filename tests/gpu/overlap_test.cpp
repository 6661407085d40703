// tests/gpu/overlap_test.cpp -- operators that may start before the kernel ahead of them has ended compute what they do
// after it: in a chain each reads what the one ahead writes, and writes what that one reads.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "tests/host/driver.hpp"
#include "tests/host/launch.hpp"
#include "tests/reference/options.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::operation;

namespace {

struct chain_size {
    jit::dtype type;
    std::int64_t hidden_dim, tokens;
};

/// An operator, and which arrays its arguments are, where they are not those of the same name.
struct link {
    operation op;
    std::map<std::string, std::string, std::less<>> arrays;
};
using links = std::vector<link>;

/// From streams to streams through every operator of decoding. pre_big_fuse has the sums of other streams, so that what it
/// reads has just been written.
const links decoding = {
    {operation::pre_fwd, {}},
    {operation::pre_project_fwd, {}},
    {operation::post_fwd, {{"y", "layer_input"}, {"out", "between"}}},
    {operation::pre_big_fuse, {{"x", "between"}}},
    {operation::post_pre_fwd, {{"y", "layer_input"}, {"x", "between"}, {"out", "x"}, {"layer_input", "next_layer_input"}}}};
const links two_layers = {{operation::dynamic_layer_fwd, {{"out", "between"}}},
                          {operation::dynamic_layer_fwd, {{"x", "between"}, {"out", "x"}}}};

jit::layer_spec spec_of(const chain_size& of, jit::preset options, const links& of_chain)
{
    jit::layer_spec spec;
    spec.n_streams = 4;
    spec.hidden_dim = of.hidden_dim;
    spec.dtype = of.type;
    spec.weight_dtype = jit::dtype::fp32;
    spec.options = reference::options_of(options);
    spec.wanted = {};
    for (const link& each : of_chain) spec.wanted = spec.wanted | jit::operations{each.op};
    return spec;
}

/// Parameters, and what the links of a chain write again and again.
class chain_memory {
public:
    chain_memory(session& on, const jit::compiled_layer& layer, const chain_size& of)
        : device_(*on.device), tokens_(of.tokens), type_(of.type)
    {
        const std::int64_t row = of.hidden_dim, streams = 4 * row;
        for (const auto& [name, count] : std::map<std::string, std::int64_t>{
                 {"fn", 24 * streams}, {"phi_pre", 4 * streams}, {"phi_post", 4 * streams}, {"phi_res", 16 * streams}})
            add_parameter(name, count, 0.02f);
        for (const auto& [name, count] : std::map<std::string, std::int64_t>{{"scale", 3},
                                                                             {"base", 24},
                                                                             {"alpha_pre", 1},
                                                                             {"alpha_post", 1},
                                                                             {"alpha_res", 1},
                                                                             {"b_pre", 4},
                                                                             {"b_post", 4},
                                                                             {"b_res", 16},
                                                                             {"weight", row}})
            add_parameter(name, count, 0.5f);
        for (const auto& [name, count] : std::map<std::string, std::int64_t>{
                 {"x", streams}, {"between", streams}, {"layer_input", row}, {"next_layer_input", row}})
            add_written(name, count * size_of(of.type));
        for (const auto& [name, count] : std::map<std::string, std::int64_t>{{"pre", 4},
                                                                             {"post", 4},
                                                                             {"mix", 16},
                                                                             {"proj", 24},
                                                                             {"sqsum", 1},
                                                                             {"next_pre", 4},
                                                                             {"next_post", 4},
                                                                             {"next_mix", 16}})
            add_written(name, count * 4);
        std::int64_t bytes = 16;
        for (int op = 0; op < jit::operation_count; ++op)
            bytes = std::max(bytes, layer.workspace_bytes(static_cast<operation>(op), of.tokens));
        add("workspace", bytes);
        first_ = stored("x", of.tokens * streams, of.type, 1.0f);
    }

    /// All that the links write, as often as they are launched one after the other, with what is beside it.
    std::map<std::string, std::vector<std::byte>> after(int turns, const jit::compiled_layer& layer,
                                                        const links& chain) const
    {
        device_.upload(arrays_.at("x")->pointer(), first_);
        for (int i = 0; i < turns; ++i)
            for (const link& each : chain) launch_link(layer, each);
        std::map<std::string, std::vector<std::byte>> all;
        device_.synchronize();
        for (const std::string& name : written_) all[name] = arrays_.at(name)->read_all();
        return all;
    }

    /// Whether the streams are numbers: what compares equal has been made of what was given, not of a poison.
    bool has_numbers() const
    {
        std::vector<std::byte> bytes(first_.size());
        device_.download(bytes, arrays_.at("x")->pointer());
        const std::size_t size = static_cast<std::size_t>(size_of(type_));
        for (std::size_t at = 0; at < bytes.size(); at += size) {
            std::uint32_t bits = 0;  // whose upper half alone bf16 has
            std::memcpy(reinterpret_cast<std::byte*>(&bits) + sizeof bits - size, bytes.data() + at, size);
            if (!std::isfinite(std::bit_cast<float>(bits))) return false;
        }
        return bytes != first_;
    }

private:
    static std::vector<std::byte> stored(std::string_view name, std::int64_t count, jit::dtype type, float deviation)
    {
        const std::vector<float> values = normals(seed_of(name), count, 0.0f, deviation);
        const auto copied = [](const auto& of) {
            const auto bytes = std::as_bytes(std::span(of));
            return std::vector<std::byte>(bytes.begin(), bytes.end());
        };
        return type == jit::dtype::fp32 ? copied(values) : copied(narrowed(values, type));
    }
    void add_parameter(const std::string& name, std::int64_t count, float deviation)
    {
        arrays_[name] =
            std::make_unique<guarded_array>(device_, stored(name, count, jit::dtype::fp32, deviation), 0, 0xFFFFFFFFU);
    }
    void add(const std::string& name, std::int64_t bytes)
    {
        arrays_[name] = std::make_unique<guarded_array>(device_, bytes, 0, 0xFFFFFFFFU);
    }
    void add_written(const std::string& name, std::int64_t bytes_of_token)
    {
        add(name, tokens_ * bytes_of_token);
        written_.push_back(name);
    }
    void launch_link(const jit::compiled_layer& layer, const link& each) const
    {
        operands of;
        of.op = each.op;
        of.tokens = tokens_;
        const auto pointer = [&](std::string_view name) -> void* {
            const auto other = each.arrays.find(name);
            const auto found = arrays_.find(other == each.arrays.end() ? name : other->second);
            return found == arrays_.end() ? nullptr : found->second->pointer();
        };
        launch(layer, of, pointer, device_.stream()).value();
    }

    testing::device& device_;
    std::int64_t tokens_;
    jit::dtype type_;
    std::vector<std::byte> first_;  ///< streams that a chain begins with
    std::map<std::string, std::unique_ptr<guarded_array>, std::less<>> arrays_;
    std::vector<std::string> written_;
};

/// An overlapping chain has the bits of a plain one, time after time.
void check_chain(jit::preset options, const links& chain)
{
    // One pass and several; kernels that end long after their first group, and that are over at once.
    std::vector<chain_size> sizes = {{jit::dtype::bf16, 1280, 2048}, {jit::dtype::bf16, 4096, 700},
                                     {jit::dtype::bf16, 7168, 9},    {jit::dtype::bf16, 1284, 300},
                                     {jit::dtype::fp32, 1280, 600},  {jit::dtype::fp32, 4096, 1}};
    if (environment("MHC_TEST_SMALL", "0") != "0") sizes = {{jit::dtype::bf16, 256, 5}};
    session& on = session::instance();
    for (const chain_size& of : sizes) {
        CAPTURE(of.hidden_dim);
        CAPTURE(of.tokens);
        const jit::compiled_layer plain = on.layer(spec_of(of, options, chain)), early = plain.overlapping();
        const chain_memory memory(on, plain, of);
        constexpr int turns = 6;
        const auto expected = memory.after(turns, plain, chain);
        CHECK(memory.has_numbers());
        for (int time = 0; time < 6; ++time)
            for (const auto& [name, bytes] : memory.after(turns, time == 0 ? plain : early, chain)) {
                const auto first =
                    std::mismatch(bytes.begin(), bytes.end(), expected.at(name).begin()).first - bytes.begin();
                CHECK_MESSAGE(first == static_cast<std::ptrdiff_t>(bytes.size()),
                              name << " differs at byte " << first << " of " << bytes.size() << ", time " << time);
            }
    }
}

}  // namespace

TEST_CASE("overlap: a chain of operators that start early has the bits of one that does not")
{
    check_chain(jit::preset::deepseek, decoding);
}

TEST_CASE("overlap: so has a chain of mHC.cu's layers") { check_chain(jit::preset::mhc_cu, two_layers); }
