// mhc/device/dynamic_layer_ahead.hpp -- layer_ahead.hpp of coefficients that are made here: a launch and a way through
// memory less.
#pragma once

#include <mhc/device/lane_coefficients.hpp>
#include <mhc/device/layer_ahead.hpp>

namespace mhc {

/// LDS of dynamic_layer_ahead in floats: sums of channels, the last wave's matrices, and coefficients of two parts.
template <class Rows, int n>
struct dynamic_room {
    static constexpr int m = n * n + 2 * n, matrices = ceil_div(Rows::sums, 4) * 4,
                         coefficients = matrices + 32 / n * balance<n>::floats, part = mixed_together * m,
                         floats = coefficients + 2 * part;
};

/// As layer_ahead, where a work-group's last wave makes the coefficients of its next tokens, while the others have the ones
/// before.
template <class Rows, class Options, int n, layout L, bool RoundAsReference, int WeightAlign, int Stages, class Grid,
          class Data, class Weight>
MHC_DEVICE void dynamic_layer_ahead(Grid at, float* shared, uint4* lds, const Data* x, projected from, affine by,
                                    const Weight* weight, Data* out, i64 tokens, i64 valid, i64 x_token, i64 x_stream,
                                    i64 out_token, i64 out_stream, coefficient_constants k, float norm_eps)
{
    using room = dynamic_room<Rows, n>;
    constexpr int m = room::m, K = n * Rows::C, lanes = Grid::block - Grid::wave_size;
    const int thread = at.thread(), lane = at.lane();
    const token_parts parts(valid, at.groups);
    float* coefficients = shared + room::coefficients;
    float* others = coefficients + room::part;
    auto swap = [&]() MHC_INLINE {
        float* const last = coefficients;
        coefficients = others;
        others = last;
    };
    using streaming = grid<lanes, Grid::wave_size>;
    const streaming those = {at.group, at.groups};
    const int wave = at.wave();  // asked by all lanes of it
    if (wave == Grid::waves - 1) {
        const lane_affine<n> own(by, lane % n);
        wait_for_last_kernel();
        return for_each_part(at, parts, [&](i64 first, int count) MHC_INLINE {
            auto sigmoids = [&](int token, int o) MHC_INLINE {
                float* const to = coefficients + token * m + o;
                to[0] = own.pre(lane_product<n, K>(from, o, first + token, tokens, k), k);
                to[n] = own.post(lane_product<n, K>(from, n + o, first + token, tokens, k), k);
            };
            balance_tokens<Options, n, K>(shared + room::matrices, lane, from, own, coefficients + 2 * n, m, first, count,
                                          tokens, k, sigmoids);
            barrier();  // these are here, and the others have done with the ones before
            swap();
        });
    }
    const own_vectors<Rows, streaming> own(those);
    const token_queue<Rows, n, Stages, streaming, Data> queue = {lds};
    token_ahead ahead = {at.group};
    auto fetch = [&](int stage, bool may) MHC_INLINE {
        queue.fetch(own, stage, thread, x + ahead.token(parts) * x_token, x_stream, may && ahead.is_there(parts));
        ahead.next(parts, at.groups);
    };
    const bool may_fetch = streams_may_come(at, parts, from);
    MHC_SHORT_LOOP
    for (int s = 0; s < Stages; ++s) fetch(s, may_fetch);
    wait_for_last_kernel();
    int stage = 0;
    for_each_part(at, parts, [&](i64 first, int count) MHC_INLINE {
        barrier();
        for (int token = 0; token < parts.each; ++token) {
            copies_but<Stages - 1>();
            float by_token[m];
#pragma unroll
            for (int e = 0; e < m; ++e) by_token[e] = coefficients[token * m + e];
            if (token < count)
                layer_of_token<Rows, n, L, RoundAsReference, WeightAlign>(
                    those, shared, own, queue, stage, by_token, weight, out + (first + token) * out_token, out_stream,
                    norm_eps, meeting<1, lanes>{}, []() MHC_INLINE {});
            fetch(stage, true);
            stage = stage + 1 == Stages ? 0 : stage + 1;
        }
        swap();
    });
}

}  // namespace mhc
