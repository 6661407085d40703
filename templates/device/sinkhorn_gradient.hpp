// mhc/device/sinkhorn_gradient.hpp -- the exact gradient of Sinkhorn's iteration as it was done, step by step backwards.
//
// A step X' = X / (s + eps) with s the line sums takes a gradient G' of X' to G = (G' - sum_line G' X') / (s + eps). As
// gradients of the logarithms of the entries, L = G X, that is L = L' - X' sum_line L': only the matrices after each step
// are needed. They are the entries at the start times the lines' factors, so the forward keeps n factors a step, and the
// backward holds one matrix. With E the entries at the start and F = G u v, u and v the factors, the same reads
// F = F' - u' v' sum_line F' E, which is right where an entry is 0 as well.
#pragma once

#include <mhc/device/sinkhorn_implicit.hpp>
#include <mhc/device/sinkhorn_lanes.hpp>

namespace mhc {

/// Factors and potentials of the lines after each step, of one matrix. A step that left a line as it was (the threshold) is
/// told by the sign of a factor, and by a number of its own beside a potential.
template <class Options, int n>
struct step_history {
    using plan = sinkhorn_steps<Options>;
    static constexpr int floats = plan::on_logits * 3 * n + plan::on_entries * n;
    float* at;

    MHC_MEMBER void log_step(int k, int line, float hi, float lo, bool taken) const
    {
        float* const to = at + (k * n + line) * 3;
        to[0] = hi;
        to[1] = lo;
        to[2] = taken ? 1.0f : 0.0f;
    }
    MHC_MEMBER float hi(int k, int line) const { return k < 0 ? 0.0f : at[(k * n + line) * 3]; }
    MHC_MEMBER float lo(int k, int line) const { return k < 0 ? 0.0f : at[(k * n + line) * 3 + 1]; }
    MHC_MEMBER bool log_taken(int k, int line) const { return at[(k * n + line) * 3 + 2] != 0.0f; }

    MHC_MEMBER float* factors(int k) const { return at + plan::on_logits * 3 * n + k * n; }
    MHC_MEMBER void step(int k, int line, float factor, bool taken) const
    {
        // Only the threshold leaves lines as they were, and there factors are positive.
        factors(k)[line] = taken ? factor : -factor;
    }
    MHC_MEMBER float factor(int k, int line) const
    {
        if (k < 0) return 1.0f;
        const float stored = factors(k)[line];
        return Options::mode == eps_mode::thresh ? magnitude(stored) : stored;
    }
    MHC_MEMBER bool taken(int k, int line) const { return Options::mode != eps_mode::thresh || factors(k)[line] > 0.0f; }
};

/// Where a token's history is: beside its matrix in LDS where Room floats are there for it, which a step back waits for
/// less, else in memory.
template <class Options, int n, int Room>
MHC_DEVICE float* history_place(float* beside, float* in_memory, i64 t)
{
    constexpr int floats = step_history<Options, n>::floats;
    static_assert(Room == 0 || Room >= floats, "all steps have room");
    return Room > 0 ? beside : in_memory + t * floats;
}

/// Gradients [n, n] on lines of either axis.
template <axis A, int n>
MHC_DEVICE float& line_entry(float* matrix, int line, int k)
{
    return A == axis::row ? matrix[line * n + k] : matrix[k * n + line];
}

/// Step k on entries, backwards; then the factors are those of before it.
template <axis A, class Options, int n, int lanes>
MHC_DEVICE void step_back(balance<n> s, float* gradient, step_history<Options, n> history, int lane, int k)
{
    constexpr axis other = A == axis::row ? axis::col : axis::row;
    for (int line = lane; line < n; line += lanes) {
        if (history.taken(k, line)) {
            float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            for (int e = 0; e < n; ++e)
                sums[e % 4] = fma(line_entry<A, n>(gradient, line, e), s.entry(A, line, e), sums[e % 4]);
            const float scale = -sum_of(sums) * s.factor(A, line);
            for (int e = 0; e < n; ++e) {
                float& at = line_entry<A, n>(gradient, line, e);
                at = fma(scale, s.factor(other, e), at);
            }
        }
    }
    wave_sync();  // all lines have read the factors of this axis
    for (int line = lane; line < n; line += lanes) s.factor(A, line) = history.factor(k - 2, line);
    wave_sync();
}

/// Step k on logits, backwards, on the gradients of the logarithms; then the potentials are those of before it.
template <axis A, class Options, int n, int lanes>
MHC_DEVICE void log_step_back(balance<n> s, float* gradient, step_history<Options, n> history, int lane, int k)
{
    for (int line = lane; line < n; line += lanes) {
        if (!history.log_taken(k, line)) continue;
        float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        for (int e = 0; e < n; ++e) sums[e % 4] += line_entry<A, n>(gradient, line, e);
        const float total = sum_of(sums);
        for (int e = 0; e < n; ++e) {
            float& at = line_entry<A, n>(gradient, line, e);
            at = fma(-total, exp(balanced_logit_on<A>(s, line, e)), at);
        }
    }
    wave_sync();
    for (int line = lane; line < n; line += lanes) {
        s.hi(A, line) = history.hi(k - 2, line);
        s.lo(A, line) = history.lo(k - 2, line);
    }
    wave_sync();
}

template <class Options, int n, int lanes>
MHC_DEVICE void entries_back(balance<n> s, float* gradient, step_history<Options, n> history, int lane)
{
    using plan = sinkhorn_steps<Options>;
    constexpr axis even = plan::axis_on_entries(0), odd = plan::axis_on_entries(1);
    for (int a = lane; a < n; a += lanes)
        for (int b = 0; b < n; ++b) gradient[a * n + b] *= s.factor(axis::row, a) * s.factor(axis::col, b);
    wave_sync();
    constexpr int count = plan::on_entries;
    if constexpr (count % 2 == 1) step_back<even, Options, n, lanes>(s, gradient, history, lane, count - 1);
    for (int k = count / 2 * 2 - 1; k > 0; k -= 2) {
        step_back<odd, Options, n, lanes>(s, gradient, history, lane, k);
        step_back<even, Options, n, lanes>(s, gradient, history, lane, k - 1);
    }
}

template <class Options, int n, int lanes>
MHC_DEVICE void logits_back(balance<n> s, float* gradient, step_history<Options, n> history, int lane)
{
    using plan = sinkhorn_steps<Options>;
    constexpr axis even = plan::axis_on_logits(0), odd = plan::axis_on_logits(1);
    constexpr int count = plan::on_logits, last_odd = count - 1 - count % 2, last_even = count - 2 + count % 2;
    for (int line = lane; line < n; line += lanes) {
        s.hi(even, line) = history.hi(last_even, line);
        s.lo(even, line) = history.lo(last_even, line);
        s.hi(odd, line) = history.hi(last_odd, line);
        s.lo(odd, line) = history.lo(last_odd, line);
    }
    wave_sync();
    if constexpr (count % 2 == 1) log_step_back<even, Options, n, lanes>(s, gradient, history, lane, count - 1);
    for (int k = last_odd; k > 0; k -= 2) {
        log_step_back<odd, Options, n, lanes>(s, gradient, history, lane, k);
        log_step_back<even, Options, n, lanes>(s, gradient, history, lane, k - 1);
    }
}

/// As step_back, of a matrix in the registers of one lane.
template <axis A, class Options, int n>
MHC_DEVICE void step_back_in_lane(matrix_in_lane<n>& s, float (&gradient)[n][n], step_history<Options, n> history, int k)
{
    constexpr int own = A == axis::row ? 0 : 1;
    float scales[n];
#pragma unroll
    for (int line = 0; line < n; ++line) {
        float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
        for (int e = 0; e < n; ++e) {
            const int a = A == axis::row ? line : e, b = A == axis::row ? e : line;
            sums[e % 4] = fma(gradient[a][b], s.entries[a][b], sums[e % 4]);
        }
        scales[line] = -sum_of(sums) * s.factors[own][line];
    }
#pragma unroll
    for (int line = 0; line < n; ++line) {
        const bool taken = history.taken(k, line);
#pragma unroll
        for (int e = 0; e < n; ++e) {
            float& at = A == axis::row ? gradient[line][e] : gradient[e][line];
            if (taken) at = fma(scales[line], s.factors[1 - own][e], at);
        }
        s.factors[own][line] = history.factor(k - 2, line);
    }
}

/// For whom the balanced matrix itself is of no use.
struct no_matrix {
    MHC_MEMBER void operator()(int, float) const {}
};

/// steps_on_entries and entries_back by the one lane that calls it; put(e, v) gets the balanced matrix.
template <class Options, int n, class Put>
MHC_DEVICE void entries_and_back_in_lane(balance<n> s, float* to, step_history<Options, n> history, float eps, Put put)
{
    using plan = sinkhorn_steps<Options>;
    constexpr axis even = plan::axis_on_entries(0), odd = plan::axis_on_entries(1);
    constexpr int count = plan::on_entries;
    matrix_in_lane<n> own = take_matrix(s);
    steps_in_lane<entry_steps<Options>, n>(own, eps, history);
    float gradient[n][n];
#pragma unroll
    for (int a = 0; a < n; ++a) {
#pragma unroll
        for (int b = 0; b < n; ++b) {
            put(a * n + b, own.entries[a][b] * own.factors[0][a] * own.factors[1][b]);
            gradient[a][b] = to[a * n + b] * (own.factors[0][a] * own.factors[1][b]);
        }
    }
    if constexpr (count % 2 == 1) step_back_in_lane<even, Options, n>(own, gradient, history, count - 1);
    MHC_SHORT_LOOP
    for (int k = count / 2 * 2 - 1; k > 0; k -= 2) {
        step_back_in_lane<odd, Options, n>(own, gradient, history, k);
        step_back_in_lane<even, Options, n>(own, gradient, history, k - 1);
    }
#pragma unroll
    for (int a = 0; a < n; ++a) {
#pragma unroll
        for (int b = 0; b < n; ++b) to[a * n + b] = gradient[a][b];
    }
}

/// `s` is as start_entries left it, with this history; `gradient` [n, n] is that of the logarithms of the entries, divided
/// by these, and becomes that of the logits. logit(e) gives them again. All lanes of the wave must call it.
template <class Options, int n, int lanes, class Logit>
MHC_DEVICE void start_back(balance<n> s, float* gradient, step_history<Options, n> history, int lane, Logit logit)
{
    using plan = sinkhorn_steps<Options>;
    if constexpr (Options::first == start::identity) return;
    if constexpr (!plan::starts_with_entries) {
        for (int a = lane; a < n; a += lanes)
            for (int b = 0; b < n; ++b) gradient[a * n + b] *= s.entries[a * n + b];
        wave_sync();
        for (int e = lane; e < n * n; e += lanes) s.entries[e] = logit(e);
        wave_sync();
        logits_back<Options, n, lanes>(s, gradient, history, lane);
    } else {
        for (int e = lane; e < n * n; e += lanes) s.entries[e] = logit(e);
        wave_sync();
        softmax_rows<n, lanes>(s, lane, 0.0f);
        for (int a = lane; a < n; a += lanes) {
            float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            for (int b = 0; b < n; ++b) sums[b % 4] = fma(s.entries[a * n + b], gradient[a * n + b], sums[b % 4]);
            const float total = sum_of(sums);
            for (int b = 0; b < n; ++b) gradient[a * n + b] = s.entries[a * n + b] * (gradient[a * n + b] - total);
        }
        wave_sync();
    }
}

/// `s` holds logits, `gradient` [n, n] the gradient of the balanced matrix, which becomes that of the logits, exactly or of
/// the limit; logit(e) gives them again. history has room for the factors of every step, or `room` is [n, n]. put(e, v)
/// gets the balanced matrix.
template <class Options, int n, int lanes, class Logit, class Put = no_matrix>
MHC_DEVICE void balanced_gradient(balance<n> s, float* gradient, float* history, float* room, int lane, float eps,
                                  Logit logit, Put put = {})
{
    if constexpr (Options::is_implicit) {
        sinkhorn<Options, n, lanes>(s, lane, eps);
        for (int e = lane; e < n * n; e += lanes) put(e, s.entries[e]);
        limit_gradient<Options, n, lanes>(s, gradient, room, lane, logit);
    } else {
        const step_history<Options, n> kept = {history};
        start_entries<Options, n, lanes>(s, lane, eps, kept);
        if constexpr (balances_in_lanes<n>) {
            if (lane == 0) entries_and_back_in_lane<Options, n>(s, gradient, kept, eps, put);
            wave_sync();
        } else {
            steps_on_entries<entry_steps<Options>, n, lanes>(s, lane, eps, kept);
            wave_sync();
            for (int e = lane; e < n * n; e += lanes)
                put(e, s.entries[e] * s.factor(axis::row, e / n) * s.factor(axis::col, e % n));
            entries_back<Options, n, lanes>(s, gradient, kept, lane);
        }
        start_back<Options, n, lanes>(s, gradient, kept, lane, logit);
    }
}

/// d_logits[t] from d_mix[t]; `history` has room for the factors of every token, if not Room floats of `shared` have.
template <class Options, int n, int Room, class Grid>
MHC_DEVICE void sinkhorn_gradients(Grid at, float* shared, const float* logits, const float* d_mix, float* d_logits,
                                   float* history, i64 tokens, float eps)
{
    constexpr int lanes = lanes_of(n, Grid::wave_size);
    constexpr int floats = balance<n>::floats + (Options::is_implicit ? 2 : 1) * n * n;
    for_each_matrix<n, floats + Room>(at, shared, tokens, [=](i64 t, bool is_live, balance<n> s, int lane) MHC_INLINE {
        float* const gradient = s.entries + balance<n>::floats;
        for (int e = lane; e < n * n; e += lanes) {
            s.entries[e] = logits[t * (n * n) + e];
            gradient[e] = d_mix[t * (n * n) + e];
        }
        float* const kept = history_place<Options, n, Room>(s.entries + floats, history, t);
        balanced_gradient<Options, n, lanes>(s, gradient, kept, gradient + n * n, lane, eps,
                                             [=](int e) MHC_INLINE { return logits[t * (n * n) + e]; });
        if (is_live)
            for (int e = lane; e < n * n; e += lanes) d_logits[t * (n * n) + e] = gradient[e];
    });
}

}  // namespace mhc
