// tests/unit/traffic_test.cpp -- mhc-bench's table of minimum traffic against sums worked out by hand.
#include <doctest/doctest.h>

#include <string>

#include "tools/mhc-bench/traffic.hpp"

using namespace mhc;
using jit::operation;
using tools::traffic_of;

namespace {

jit::layer_spec spec_of(std::int64_t C, std::int32_t n, jit::dtype data, jit::dtype weight = jit::dtype::fp32)
{
    jit::layer_spec s;
    s.hidden_dim = C;
    s.n_streams = n;
    s.dtype = data;
    s.weight_dtype = weight;
    return s;
}

}  // namespace

TEST_CASE("traffic: n = 4, C = 1280, bf16 data, fp32 weights, 320 tokens")
{
    const jit::layer_spec s = spec_of(1280, 4, jit::dtype::bf16);  // a row is 2560 bytes; fn is 24 x 5120 floats
    CHECK(traffic_of(operation::post_fwd, s).bytes(320) == 320 * (9 * 2560 + 80));
    CHECK(traffic_of(operation::post_fwd, s).bytes(320) == 7'398'400);
    CHECK(traffic_of(operation::pre_fwd, s).bytes(320) == 320 * (5 * 2560 + 80) + 491'520 + 108);
    CHECK(traffic_of(operation::pre_fwd, s).bytes(320) == 4'613'228);
    CHECK(traffic_of(operation::expand_fwd, s).bytes(320) == 4'096'000);
    CHECK(traffic_of(operation::apply_mix_fwd, s).bytes(320) == 320 * (5 * 2560 + 16));
    CHECK(traffic_of(operation::rmsnorm_fwd, s).bytes(320) == 320 * 5124 + 5120);
    CHECK(traffic_of(operation::sinkhorn_fwd, s).bytes(320) == 320 * 128);
    CHECK(traffic_of(operation::static_layer_fwd, s).bytes(320) == 320 * 8 * 2560 + 5120 + 96);
    CHECK(traffic_of(operation::dynamic_layer_fwd, s).bytes(320) == 320 * 8 * 2560 + 491'520 + 5120 + 108);
    CHECK(traffic_of(operation::post_pre_fwd, s).bytes(320) == 320 * (10 * 2560 + 160) + 491'520 + 108);
    CHECK(traffic_of(operation::head_fwd, s).bytes(320) == 320 * 5 * 2560 + 81'920 + 20);
    CHECK(traffic_of(operation::pre_project_fwd, s).bytes(320) == 320 * (4 * 2560 + 100) + 491'520);
    CHECK(traffic_of(operation::split_mixes_fwd, s).bytes(320) == 320 * 196 + 108);
    CHECK(traffic_of(operation::coeffs_fwd, s).bytes(320) == 320 * 196 + 108);
    CHECK(traffic_of(operation::pre_big_fuse, s).bytes(320) == 320 * (5 * 2560 + 180) + 108);
    CHECK(traffic_of(operation::broadcast_pre_fwd, s).bytes(320) == 320 * (2 * 2560 + 80) + 491'520 + 108);
    CHECK(traffic_of(operation::delayed_pre_fwd, s).bytes(320) == 320 * (5 * 2560 + 112) + 491'520 + 108);
    CHECK(traffic_of(operation::multilayer_recompute, s).bytes(320) == 320 * (4 * 2560 + 4 * (6 * 2560 + 96)));
    CHECK(traffic_of(operation::rmsnorm_matmul_fwd, s).bytes(320) == 320 * (2 * 2560 + 4) + 1281 * 1280 * 4);
    CHECK(traffic_of(operation::post_head_fwd, s).bytes(320) == 320 * (6 * 2560 + 80) + 81'920 + 20);
}

TEST_CASE("traffic: gradients at n = 4, C = 1280, bf16 data, fp32 weights, 320 tokens")
{
    const jit::layer_spec s = spec_of(1280, 4, jit::dtype::bf16);
    CHECK(traffic_of(operation::sinkhorn_bwd, s).bytes(320) == 320 * 192);
    CHECK(traffic_of(operation::rmsnorm_bwd, s).bytes(320) == 320 * 7684 + 10'240);
    CHECK(traffic_of(operation::apply_mix_bwd, s).bytes(320) == 320 * (9 * 2560 + 32));
    CHECK(traffic_of(operation::expand_bwd, s).bytes(320) == 320 * 5 * 2560);
    CHECK(traffic_of(operation::post_bwd, s).bytes(320) == 320 * (14 * 2560 + 160));
    CHECK(traffic_of(operation::pre_bwd, s).bytes(320) == 320 * (9 * 2560 + 96) + 983'040 + 216);
    CHECK(traffic_of(operation::static_layer_bwd, s).bytes(320) == 320 * 12 * 2560 + 10'240 + 192);
    CHECK(traffic_of(operation::dynamic_layer_bwd, s).bytes(320) == 320 * 12 * 2560 + 983'040 + 10'240 + 216);
    CHECK(traffic_of(operation::post_pre_bwd, s).bytes(320) == 320 * (15 * 2560 + 256) + 983'040 + 216);
    CHECK(traffic_of(operation::head_bwd, s).bytes(320) == 320 * 9 * 2560 + 163'840 + 40);
    CHECK(traffic_of(operation::post_head_bwd, s).bytes(320) == 320 * (11 * 2560 + 160) + 163'840 + 40);
    CHECK(traffic_of(operation::rmsnorm_matmul_bwd, s).bytes(320) == 320 * 7684 + 1281 * 10'240);
    CHECK(traffic_of(operation::pre_project_bwd, s).bytes(320) == 320 * (8 * 2560 + 100) + 983'040);
    CHECK(traffic_of(operation::split_mixes_bwd, s).bytes(320) == 320 * 296 + 216);
    CHECK(traffic_of(operation::coeffs_bwd, s).bytes(320) == 320 * 296 + 216);
    jit::layer_spec normed = s;
    normed.norm_weight = true;
    CHECK(traffic_of(operation::pre_bwd, normed).bytes(1) == traffic_of(operation::pre_bwd, s).bytes(1) + 10'240);
}

TEST_CASE("traffic: other streams, types and a norm weight")
{
    const jit::layer_spec wide = spec_of(4096, 8, jit::dtype::fp32, jit::dtype::bf16);  // a row is 16384 bytes, m is 80
    CHECK(traffic_of(operation::post_fwd, wide).bytes(10) == 10 * (17 * 16384 + 288));
    CHECK(traffic_of(operation::pre_fwd, wide).bytes(10) == 10 * (9 * 16384 + 288) + 80 * 8 * 4096 * 2 + 83 * 4);
    jit::layer_spec normed = wide;
    normed.norm_weight = true;
    CHECK(traffic_of(operation::pre_fwd, normed).bytes(10) == traffic_of(operation::pre_fwd, wide).bytes(10) + 8192);
    CHECK(traffic_of(operation::sinkhorn_fwd, wide).bytes(3) == 3 * 512);
}

TEST_CASE("traffic: the floor beside an operator moves as many rows, and about as many bytes")
{
    const jit::layer_spec s = spec_of(4096, 4, jit::dtype::bf16);
    struct expected_rows {
        operation op;
        std::int64_t in, out;
    };
    for (const auto& [op, in, out] : {expected_rows{operation::post_fwd, 5, 4},
                                      {operation::pre_fwd, 4, 1},
                                      {operation::apply_mix_fwd, 4, 1},
                                      {operation::expand_fwd, 1, 4},
                                      {operation::rmsnorm_fwd, 1, 1},
                                      {operation::static_layer_fwd, 4, 4},
                                      {operation::dynamic_layer_fwd, 4, 4},
                                      {operation::post_pre_fwd, 5, 5},
                                      {operation::head_fwd, 4, 1},
                                      {operation::pre_project_fwd, 3, 1},
                                      {operation::pre_big_fuse, 4, 1},
                                      {operation::delayed_pre_fwd, 4, 1},
                                      {operation::post_head_fwd, 5, 1},
                                      {operation::multilayer_recompute, 8, 20},
                                      {operation::rmsnorm_bwd, 2, 1},
                                      {operation::apply_mix_bwd, 5, 4},
                                      {operation::expand_bwd, 4, 1},
                                      {operation::post_bwd, 9, 5},
                                      {operation::pre_bwd, 5, 4},
                                      {operation::static_layer_bwd, 8, 4},
                                      {operation::dynamic_layer_bwd, 8, 4},
                                      {operation::post_pre_bwd, 10, 5},
                                      {operation::head_bwd, 5, 4},
                                      {operation::post_head_bwd, 6, 5},
                                      {operation::pre_project_bwd, 4, 4}}) {
        const tools::floor_shape floor = tools::floor_of(op, s, 2048);
        CAPTURE(std::string(to_string(op)));
        CHECK(floor.rows_in == in);
        CHECK(floor.rows_out == out);
        CHECK(floor.hidden_dim == 4096);
        CHECK(floor.bytes() <= traffic_of(op, s).bytes(2048));
        CHECK(floor.bytes() >= traffic_of(op, s).bytes(2048) * 9 / 10);
    }
    const tools::floor_shape small = tools::floor_of(operation::sinkhorn_fwd, s, 2048);  // 2048 x 128 bytes, 8192 a row pair
    CHECK(small.tokens == 32);
    CHECK(small.bytes() == 2048 * 128);
    CHECK(tools::floor_of(operation::sinkhorn_fwd, s, 1).tokens == 1);
}
