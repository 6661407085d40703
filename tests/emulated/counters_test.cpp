// tests/emulated/counters_test.cpp -- what is counted, by hand: classes, bank conflicts, the cache, and one launch whole.
#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <mhc/jit.hpp>

#include "emulator/cache_model.hpp"
#include "emulator/counter.hpp"
#include "emulator/counting_rule.hpp"
#include "emulator/lds_banks.hpp"
#include "emulator/recorder.hpp"
#include "tests/emulated/lane_machine.hpp"

using namespace mhc;
using namespace mhc::emulator;

TEST_CASE("counters: every instruction has the class of the unit that executes it")
{
    using enum instruction_class;
    const auto all_are = [](instruction_class expected, std::initializer_list<const char*> names) {
        for (const char* name : names) {
            CAPTURE(name);
            CHECK(counting_rule_of(name).of == expected);
        }
    };
    all_are(vector, {"v_add_f32", "v_pk_fma_f32", "v_readfirstlane_b32", "v_cmp_lt_f32", "v_cvt_f32_f16", "v_div_fixup_f32",
                     "v_ldexp_f32", "v_dot2_f32_f16", "v_accvgpr_read_b32", "v_log2_unheard_of"});
    all_are(transcendental, {"v_exp_f32", "v_log_f32", "v_rcp_f32", "v_rcp_iflag_f32", "v_rsq_f32", "v_sqrt_f16",
                             "v_sin_f32", "v_cos_f32", "v_rcp_f64", "v_s_exp_f32"});
    all_are(scalar,
            {"s_add_u32", "s_mov_b64", "s_and_saveexec_b64", "s_cmp_eq_u32", "s_getpc_b64", "s_mul_f32", "s_bitset1_b32"});
    all_are(scalar_memory, {"s_load_dwordx4", "s_buffer_load_dword"});
    all_are(global, {"global_load_dwordx4", "global_store_short", "global_atomic_add_f32", "flat_load_dword",
                     "buffer_load_dword", "scratch_store_dword"});
    all_are(lds, {"ds_read_b128", "ds_write2_b64", "ds_swizzle_b32", "ds_bpermute_b32", "ds_add_u32"});
    all_are(matrix, {"v_mfma_f32_16x16x16_bf16", "v_smfmac_f32_16x16x32_f16", "v_wmma_f32_16x16x16_bf16"});
    all_are(other, {"s_branch", "s_cbranch_scc1", "s_setpc_b64", "s_barrier", "s_waitcnt", "s_wait_kmcnt", "s_nop",
                    "s_endpgm", "s_delay_alu", "s_denorm_mode", "buffer_wbl2", "buffer_inv", "global_wb", "s_dcache_inv"});
    CHECK(counting_rule_of("s_barrier").is_barrier);
    CHECK(counting_rule_of("s_barrier_signal").is_barrier);
    CHECK_FALSE(counting_rule_of("s_barrier_wait").is_barrier);
}

TEST_CASE("counters: the shape of an LDS access is in its name")
{
    struct shape {
        const char* name;
        u8 bytes, places, stride;
    };
    for (const shape& expected :
         {shape{"ds_read_b32", 4, 1, 1}, shape{"ds_write_b96", 12, 1, 1}, shape{"ds_read_b128", 16, 1, 1},
          shape{"ds_read2_b32", 4, 2, 1}, shape{"ds_write2st64_b64", 8, 2, 64}, shape{"ds_read_u8", 1, 1, 1},
          shape{"ds_read_u16_d16_hi", 2, 1, 1}, shape{"ds_write_b16_d16_hi", 2, 1, 1}, shape{"ds_add_rtn_f32", 4, 1, 1},
          shape{"ds_add_u64", 8, 1, 1}, shape{"ds_swizzle_b32", 0, 0, 1}, shape{"ds_bpermute_b32", 0, 0, 1},
          shape{"v_add_f32", 0, 0, 1}}) {
        CAPTURE(expected.name);
        const counting_rule rule = counting_rule_of(expected.name);
        CHECK(rule.lds_bytes == expected.bytes);
        CHECK(rule.lds_places == expected.places);
        CHECK(rule.lds_stride == expected.stride);
    }
    for (const auto& [name, passes] : {std::pair{"ds_write_b16", 1},
                                       {"ds_read_b64", 2},
                                       {"ds_read_b96", 4},
                                       {"ds_read_b128", 4},
                                       {"ds_read2_b32", 2},
                                       {"ds_write2st64_b64", 4},
                                       {"ds_bpermute_b32", 1},
                                       {"ds_swizzle_b32", 1},
                                       {"v_add_f32", 0}}) {
        CAPTURE(name);
        CHECK(counting_rule_of(name).lds_passes == passes);
    }
    CHECK(counting_rule_of("ds_read_b128").is_lds_read);
    CHECK_FALSE(counting_rule_of("ds_write_b128").is_lds_read);
}

namespace {

/// Conflicts of a whole wave whose lane i is at i * stride bytes.
u32 conflicts_at_stride(u32 stride, u32 bytes, bool is_read = false, u32 lanes = 64, u64 active = ~u64{0})
{
    std::array<u32, 64> addresses{};
    for (u32 lane = 0; lane < 64; ++lane) addresses[lane] = lane * stride;
    return lds_conflict_cycles(addresses.data(), active, lanes, bytes, is_read);
}

}  // namespace

TEST_CASE("counters: LDS conflicts by the stride of lanes")
{
    CHECK(conflicts_at_stride(4, 4) == 0);
    CHECK(conflicts_at_stride(0, 4) == 0);  // one word goes to all lanes that want it
    CHECK(conflicts_at_stride(1, 1) == 0);  // four lanes a word
    CHECK(conflicts_at_stride(8, 4) == 2);  // every bank twice, in each of two passes
    CHECK(conflicts_at_stride(128, 4) == 2 * 31);
    CHECK(conflicts_at_stride(128, 4, false, 32) == 31);
    CHECK(conflicts_at_stride(132, 4) == 0);  // a padded row
    CHECK(conflicts_at_stride(128, 4, false, 64, 1) == 0);
    CHECK(conflicts_at_stride(128, 4, false, 64, 0x7) == 2);
    CHECK(conflicts_at_stride(8, 8) == 0);
    CHECK(conflicts_at_stride(16, 8) == 4);  // 16 lanes a pass
    CHECK(conflicts_at_stride(16, 16) == 0);
    CHECK(conflicts_at_stride(16, 16, true) == 0);
    CHECK(conflicts_at_stride(32, 16) == 8);  // 8 lanes a pass
    // The lanes of one pass of wide reads are no neighbours: lanes 0 and 20, not 0 and 4, may meet in a bank.
    std::array<u32, 64> addresses{};
    for (u32 lane = 0; lane < 64; ++lane) addresses[lane] = 16 * (lane % 4) + 64 * (lane / 4 % 2) + 128 * lane;
    addresses[4] = addresses[0] + 4096;  // the same banks
    CHECK(lds_conflict_cycles(addresses.data(), 0x11, 64, 16, true) == 0);
    CHECK(lds_conflict_cycles(addresses.data(), 0x11, 64, 16, false) == 1);
    addresses[20] = addresses[0] + 4096;
    CHECK(lds_conflict_cycles(addresses.data(), 0x100001, 64, 16, true) == 1);
    CHECK(lds_conflict_cycles(addresses.data(), 0x100001, 64, 16, false) == 0);
}

TEST_CASE("counters: the cache puts out the line that was used least recently")
{
    const auto missed = [](u64 capacity, std::initializer_list<u64> lines) {
        cache_model cache(capacity);
        for (const u64 line : lines) cache.request(line);
        return cache.missed();
    };
    CHECK(missed(2, {1, 1, 1}) == 1);
    CHECK(missed(2, {1, 2, 1, 2}) == 2);
    CHECK(missed(2, {1, 2, 3, 1}) == 4);  // 1 went for 3
    CHECK(missed(2, {1, 2, 1, 3, 1}) == 3);
    CHECK(missed(2, {1, 2, 1, 3, 2}) == 4);
    CHECK(missed(1, {1, 2, 1, 2}) == 4);
    CHECK(missed(0, {1, 1, 2}) == 3);
    CHECK(missed(3, {1, 2, 3, 2, 1, 4, 3, 2, 1}) == 7);  // 4 puts out 3, 3 then 2, 2 then 1, 1 then 4
    cache_model cache(1);
    for (const u64 line : {7, 8, 7}) cache.request(line);
    CHECK(cache.touched() == 2);
    CHECK(cache.missed() == 3);
}

TEST_CASE("counters: resident work-groups take turns, an instruction each, and the next takes an ended one's place")
{
    const line_run end = last_of_instruction;
    // Each group reads two lines of its own and then the first again.
    std::vector<std::vector<line_run>> groups;
    for (u64 group = 0; group < 3; ++group)
        groups.push_back({make_line_run(10 * group, 2) | end, make_line_run(10 * group, 1) | end});
    const auto missed = [&](u64 resident, u64 capacity) {
        cache_model cache(capacity);
        replay(groups, resident, cache);
        CHECK(cache.touched() == 6);
        return cache.missed();
    };
    CHECK(missed(1, 2) == 6);  // alone in the cache, a group finds its first line
    CHECK(missed(3, 2) == 9);  // between its turns others have put it out
    CHECK(missed(3, 6) == 6);
    CHECK(missed(2, 4) == 6);

    groups = {{}, {make_line_run(1, 1), make_line_run(5, 2) | end}, {}};
    cache_model cache(8);
    replay(groups, 2, cache);
    CHECK(cache.touched() == 3);
}

TEST_CASE("counters: as many work-groups are resident as wave slots and LDS allow")
{
    const processor_facts& on = facts_of("gfx942");
    CHECK(resident_groups(on, 4, 0) == 304 * 8);
    CHECK(resident_groups(on, 16, 65536) == 304);
    CHECK(resident_groups(on, 1, 32768) == 304 * 2);
}

namespace {

std::string cache_dir()
{
    const char* dir = std::getenv("MHC_JIT_DIR");
    return dir != nullptr && *dir != '\0' ? dir : MHC_TEST_CACHE_DIR;
}

/// expand_fwd of fp32: every stream is a copy of a row, so that all bytes are known.
struct expansion {
    static constexpr std::int64_t tokens = 3, channels = 1280, streams = 4;

    explicit expansion(const std::string& target) : device(jit::device::open(target).value())
    {
        jit::engine_options options;
        options.target = target;
        options.cache_dir = cache_dir();
        jit::layer_spec spec;
        spec.hidden_dim = channels;
        spec.n_streams = streams;
        spec.dtype = jit::dtype::fp32;
        spec.wanted = jit::operations{jit::operation::expand_fwd};
        engine = jit::engine::create(options).value();
        layer = engine->layer(spec).value();
        args.h = h = device->allocate(tokens * channels * 4).value();
        args.x = x = device->allocate(streams * tokens * channels * 4).value();
        args.tokens = tokens;
    }
    ~expansion()
    {
        device->release(h);
        device->release(x);
    }
    expansion(const expansion&) = delete;

    jit::execution_counts count(int calls, std::int64_t cache_bytes = -1, std::span<const jit::memory_range> shared = {})
    {
        device->counter()->start(cache_bytes, shared).value();
        for (int i = 0; i < calls; ++i) layer->expand_fwd(args).value();
        return device->counter()->stop();
    }

    std::shared_ptr<jit::device> device;
    std::unique_ptr<jit::engine> engine;
    std::optional<jit::compiled_layer> layer;
    jit::expand_fwd_args args;
    void *h = nullptr, *x = nullptr;
};

}  // namespace

TEST_CASE("counters: bytes and lines of a launch are exactly those of its tensors")
{
    constexpr std::uint64_t read = expansion::tokens * expansion::channels * 4, written = read * expansion::streams;
    for (const char* target : {"emu:gfx90a", "emu:gfx942", "emu:gfx1100", "emu:gfx1200"}) {
        CAPTURE(target);
        expansion of(target);
        const jit::execution_counts one = of.count(1);
        CHECK(one.bytes_read == read);
        CHECK(one.bytes_written == written);
        CHECK(one.scalar_bytes_read == 0);
        CHECK(one.lines_touched == (read + written) / 128);
        CHECK(one.lines_missed == (read + written) / 128);
        CHECK(one.global == (read + written) / (16 * (std::string(target).starts_with("emu:gfx9") ? 64 : 32)));
        CHECK(one.barriers == 0);
        CHECK(one.matrix == 0);
        CHECK(one.lds_conflict_cycles == 0);
        CHECK(one.wave_instructions() > one.global);

        const jit::execution_counts two = of.count(2);
        CHECK(two.wave_instructions() == 2 * one.wave_instructions());
        CHECK(two.bytes_written == 2 * written);
        CHECK(two.lines_touched == one.lines_touched);
        CHECK(two.lines_missed == one.lines_missed);  // the second call finds everything
        CHECK(of.count(2, 0).lines_missed == 2 * one.lines_missed);
        CHECK(of.count(2, 128).lines_missed == 2 * one.lines_missed);
        CHECK(of.count(1) == one);
    }
}

TEST_CASE("counters: accesses to what all tokens share are counted apart, and in the whole as they were")
{
    expansion of("emu:gfx942");
    constexpr std::size_t row_bytes = expansion::channels * 4;
    jit::execution_counts plain = of.count(1);
    CHECK(plain.shared_bytes == 0);
    const auto shared_of = [&](std::initializer_list<jit::memory_range> ranges) {
        jit::execution_counts counted = of.count(1, -1, {ranges.begin(), ranges.size()});
        const std::uint64_t shared = std::exchange(counted.shared_bytes, 0);
        CHECK(counted == plain);
        return shared;
    };
    CHECK(shared_of({{of.h, expansion::tokens * row_bytes}}) == plain.bytes_read);
    CHECK(shared_of({{of.h, row_bytes}}) == plain.bytes_read / expansion::tokens);
    CHECK(shared_of({{of.x, row_bytes}, {of.h, row_bytes}}) == 2 * row_bytes);
    CHECK(shared_of({{of.x, expansion::streams * expansion::tokens * row_bytes}}) == plain.bytes_written);
}

TEST_CASE("counters: scalar loads of what all tokens share")
{
    program code;
    const std::array shared = {address_range{4096, 64}};
    recorder counts(code, 128, {}, shared);
    counts.reads_by_scalar(4096 + 48, 16);
    counts.reads_by_scalar(4096 + 64, 8);
    CHECK(counts.counts().scalar_bytes_read == 24);
    CHECK(counts.counts().shared_bytes == 16);
}

TEST_CASE("counters: only what is between start and stop, and did not fail, is counted; sizes that cannot be are refused")
{
    expansion of("emu:gfx942");
    jit::execution_counter& counter = *of.device->counter();
    CHECK(counter.cache().bytes == 256 << 20);
    CHECK(counter.cache().line_bytes == 128);
    CHECK(counter.stop() == jit::execution_counts());
    of.layer->expand_fwd(of.args).value();
    CHECK(of.count(0) == jit::execution_counts());

    counter.start().value();
    of.device->release(of.x);
    CHECK_FALSE(of.layer->expand_fwd(of.args));
    of.x = nullptr;
    CHECK(counter.stop() == jit::execution_counts());

    const auto refused = counter.start(100);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == jit::errc::bad_spec);
    CHECK(refused.error().message.find("a last-level cache of 100 bytes: allowed is a multiple of 128 up to") == 0);
    CHECK_FALSE(counter.start((std::int64_t{1} << 36) + 128));
    CHECK(jit::device::open("host").value()->counter() == nullptr);
}

TEST_CASE("counters: LDS conflicts of pairs are those of both places, and only active lanes count")
{
    emulator::testing::lane_machine machine;
    program code;
    operation op;
    op.from[0].kind = operand_kind::vector;
    op.from[0].index = 1;
    op.offset = 0, op.offset_1 = 1;
    code.operations = {op};
    code.rules = {counting_rule_of("ds_read2_b32")};
    const auto conflicts = [&] {
        recorder counts(code, 128, {}, {});
        counts.executes(machine.state, 0);
        CHECK(counts.counts().lds == 1);
        return counts.counts().lds_conflict_cycles;
    };
    machine.set_vector(1, [](u32 lane) { return lane * 8; });
    CHECK(conflicts() == 4);  // each place: every other bank, twice in each of two passes
    machine.set_exec(0xFFFF);
    CHECK(conflicts() == 0);
    machine.set_exec(~u64{0});
    machine.set_vector(1, [](u32 lane) { return lane * 4; });
    CHECK(conflicts() == 0);
}
