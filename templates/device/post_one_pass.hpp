// mhc/device/post_one_pass.hpp -- the streams that post makes, where one_pass.hpp has use for them: they are stored, and
// never read back.
#pragma once

#include <mhc/device/mix.hpp>
#include <mhc/device/one_pass.hpp>

namespace mhc {

/// What post takes besides streams: rows of the tiles that are fetched and not yet made, `kept` of them, and post and mix of
/// the tile that is made.
template <class Pass, int Kept>
struct post_room {
    static constexpr int words = Pass::words, n = Pass::n;
    struct weights {
        float4 mix[n];  ///< M[i, j] at [i][j]
        float post[n];
    };
    static constexpr int numbers = int(sizeof(weights) / 4);
    uint4 y[Kept][Pass::tokens * words];
    weights of_token[Pass::tokens];
};

/// Streams of one_pass: x is fetched, out_i = post_i (y + bias) + sum_j M_ij x_j takes its place in LDS and is stored. The
/// arithmetic is post's of mix.hpp, to the bit. Of the waves that multiply each has a token of a tile; a lane has few
/// channels at a time, beside the weights of its products. Stores: a head's caller wants no streams, and there is no `out`.
template <class Pass, layout L, int WeightAlign, int Kept, bool Stores, class Data, class Weight>
struct streams_of_tiles {
    using room = post_room<Pass, Kept>;
    using memory = typename Pass::memory;
    using Rows = typename Pass::Rows;
    using lanes = vec<float, 4>;
    static constexpr int n = Pass::n, W = 4, parts = Pass::each / W;  ///< of a word of 16 bytes
    using part = typename word<W* int(sizeof(Data))>::type;
    static_assert(n == 4 && Pass::is_made && Pass::waves == Pass::tokens && Kept > 0, "float4; a wave has a token");
    room& kept;
    const Data* y;
    const Weight* bias;
    const float *post, *mix;
    Data* out;
    i64 valid, out_token, out_stream, post_token, mix_token;

    MHC_MEMBER i64 first_token(tiles_of of, int j) const { return i64(of.first + j * of.step) * Pass::tokens; }
    static MHC_MEMBER int row_bytes(tiles_of of)
    {
        return smaller(Pass::slice, Rows::C - int(of.rank) * Pass::slice) * int(sizeof(Data));
    }
    MHC_MEMBER int tokens_of_tile(tiles_of of, int j) const
    {
        const i64 left = valid - first_token(of, j);
        return left < Pass::tokens ? int(left) : Pass::tokens;
    }

    /// Bytes that bring announces besides the tile's.
    MHC_MEMBER u32 bytes_beside(tiles_of of, int j) const { return u32(tokens_of_tile(of, j) * row_bytes(of)); }
    /// Asks for the rows y of tile j; by the lane that has asked for its streams.
    MHC_MEMBER void bring(memory& lds, tiles_of of, int j, signal& told) const
    {
        if (j >= Kept) lds.made[(j - Kept) % Pass::stages].wait(u32((j - Kept) / Pass::stages));
        uint4* const to = kept.y[j % Kept];
        const Data* const from = y + first_token(of, j) * Rows::C + int(of.rank) * Pass::slice;
        const int tokens = tokens_of_tile(of, j), bytes = row_bytes(of);
#pragma unroll 1
        for (int token = 0; token < tokens; ++token) copy_row(to + token * Pass::words, from + token * Rows::C, bytes, told);
    }

    /// A lane's number of post and mix of a token.
    MHC_MEMBER float weight_of_lane(tiles_of of, int j, int token, int lane) const
    {
        const int at = smaller(lane, room::numbers - 1);
        const i64 own = first_token(of, j) + token, t = own < valid ? own : 0;
        return at < n * n ? mix[t * mix_token + place_of_weight<L, n>(at / n, at % n)] : post[t * post_token + (at - n * n)];
    }

    /// Makes a token of the streams of tile j in its stage; by a wave, each lane of which has its weight.
    MHC_MEMBER void make(memory& lds, tiles_of of, int j, int stage, u32 turn, int token, int lane, float weight) const
    {
        typename room::weights& by = kept.of_token[token];
        if (lane < room::numbers) reinterpret_cast<float*>(&by)[lane] = weight;
        wave_sync();
        const typename room::weights own = by;
        lds.full[stage].wait(turn);
        // From turn to turn a lane has whole boxes more, and with them its place in one.
        constexpr int channels = 32 * W, boxes = channels / (8 * Pass::each), turns = ceil_div(Pass::slice, channels);
        constexpr int of_box = Pass::word(0, 8, 0) * parts, of_stream = Pass::word(1, 0, 0) * parts;
        int c = lane * W;
        part* at = reinterpret_cast<part*>(lds.x[stage] + Pass::word(0, u32(lane) / parts, token)) + u32(lane) % parts;
        const part* const row = reinterpret_cast<const part*>(kept.y[j % Kept] + token * Pass::words);
        const i64 t = first_token(of, j) + token;
        const int first_channel = int(of.rank) * Pass::slice;
        Data* const to = out + t * out_token + first_channel;
        // Post and mix in registers, and words a turn ahead, beside the few weights of a head.
        constexpr bool is_ahead = !Pass::has_matrix;
        const auto is_of_slice = [&](int k)
                                     MHC_INLINE { return Pass::slice % channels == 0 || c + k * channels < Pass::slice; };
        const auto take = [&](part(&xs)[n], int k) MHC_INLINE {
#pragma unroll
            for (int j = 0; j < n; ++j) xs[j] = at[k * boxes * of_box + j * of_stream];
        };
        part y_next = {}, x_next[n] = {};
        const auto ask = [&](int k) MHC_INLINE {
            if (!is_of_slice(k)) return;
            y_next = row[u32(c) / W + k * 32];
            take(x_next, k);
        };
        if (is_ahead) ask(0);
#pragma unroll 1
        for (int k = 0; k < turns; ++k) {
            const part y_now = y_next, x_now[n] = {x_next[0], x_next[1], x_next[2], x_next[3]};
            if (is_ahead) {
                if (k + 1 < turns) ask(1);
                wave_sync();  // else the compiler asks when they are needed
            }
            const auto streams = [&](part(&xs)[n]) MHC_INLINE {
                if (!is_ahead) return take(xs, 0);
#pragma unroll
                for (int j = 0; j < n; ++j) xs[j] = x_now[j];
            };
            // Past the end of a row zeros have come, and stay.
            if (is_of_slice(0) && (Rows::C % Rows::slice == 0 || first_channel + c < Rows::C))
                make_vector(at, of_stream, is_ahead ? own : by, is_ahead ? y_now : row[u32(c) / W], streams,
                            first_channel + c, to + c, t < valid);
            at += boxes * of_box;
            c += channels;
        }
        wave_sync();
        if (lane == 0) lds.made[stage].arrive();
    }

    /// take(xs): gives the words of the streams that are fetched.
    template <class Take>
    MHC_MEMBER void make_vector(part* at, int of_stream, const typename room::weights& by, part row, Take take, int channel,
                                Data* to, bool is_there) const
    {
        lanes ys = widen_word(row, y);
        if (bias) ys = ys + load<W, WeightAlign>(bias + channel);
        part xs[n];
        take(xs);
#pragma unroll
        for (int i = 0; i < n; ++i) {
            const float4 m = by.mix[i];
            lanes sum = ys * by.post[i];
            const float weights[n] = {m.x, m.y, m.z, m.w};
#pragma unroll
            for (int j = 0; j < n; ++j) sum = fma<W>(splat<W>(weights[j]), widen_word(xs[j], y), sum);
            const part made = narrow_word(sum, y);
            at[i * of_stream] = made;
            if (!Stores) continue;
            store_word_once(to, made, is_there);
            to += out_stream;
        }
    }
};

}  // namespace mhc
