// mhc/device/sinkhorn_steps.hpp -- which steps an iteration has, and which of them are on logits.
#pragma once

#include <mhc/device/sinkhorn_logits.hpp>

namespace mhc {

/// What an iteration is: the two axes in their order, and the divisor. add_both divides as add does. Gradients are of the
/// steps, or of their limit.
template <start Start_, order Order_, eps_mode Mode_, int Iterations_, differentiation By_ = differentiation::exact>
struct sinkhorn_options {
    static constexpr start first = Start_;
    static constexpr eps_mode stated = Mode_, mode = Mode_ == eps_mode::add_both ? eps_mode::add : Mode_;
    static constexpr axis one = Order_ == order::row_col ? axis::row : axis::col;
    static constexpr axis two = Order_ == order::row_col ? axis::col : axis::row;
    static constexpr int iterations = Iterations_;
    static constexpr bool is_implicit = By_ == differentiation::implicit;
};

/// How many steps there are of either kind, and on which axis the k-th is.
template <class Options>
struct sinkhorn_steps {
    static constexpr int iterations = Options::iterations;
    static constexpr bool adds = Options::mode == eps_mode::add, is_softmax = Options::first == start::softmax;
    // With an added eps, entries that underflow would be scaled up again by later steps: only logits keep them.
    static constexpr bool stays_in_logs = Options::first == start::log || (Options::first == start::exp && adds);
    /// Logits become entries at once, by softmax_rows or because they are entries.
    static constexpr bool starts_with_entries = Options::first == start::identity || (is_softmax && adds);
    // Without an added eps, softmax is a row step on logits.
    static constexpr int on_logits = starts_with_entries ? 0
                                     : is_softmax        ? 1 + smaller(iterations, 1)
                                                         : 2 * (stays_in_logs ? iterations : smaller(iterations, 1));
    static constexpr int all = is_softmax ? (iterations == 0 ? 0 : 2 * iterations - 1) + (adds ? 0 : 1) : 2 * iterations;
    static constexpr int on_entries = all - on_logits;

    static constexpr axis axis_on_logits(int k) { return k % 2 == 0 ? Options::one : Options::two; }
    /// Softmax rows have taken the place of the first row step.
    static constexpr axis axis_on_entries(int k) { return axis_on_logits(k + (starts_with_entries && is_softmax ? 1 : 0)); }
};

/// Steps on entries, after those on logits. Before step `anew` those matrices begin again, with factors of 1, that had steps
/// on logits instead.
template <class Options>
struct entry_steps {
    static constexpr int count = sinkhorn_steps<Options>::on_entries, anew = -1;
    static constexpr eps_mode mode = Options::mode;
    static constexpr bool is_normal = sinkhorn_steps<Options>::adds;  ///< no factor is a denormal, and no sum
    static constexpr axis axis_of(int k) { return sinkhorn_steps<Options>::axis_on_entries(k); }
    /// Whether all entries of a line may be 0, or next to it. Softmax with eps added has none below eps: a line's sum being
    /// next to 1, products of a row's and a column's factor stay below 1 / eps, and all far from the ends of a float's
    /// range.
    static MHC_MEMBER bool may_have_zeros(float eps)
    {
        return !sinkhorn_steps<Options>::is_softmax || Options::stated != eps_mode::add_both || eps < 0x1p-30f;
    }
};

/// The largest of a matrix's logits, and of their negatives. Moderate ones are finite, and so small that exponentials,
/// factors and sums, up to e^(3 * 16), are far from the ends of a float's range.
struct logit_bounds {
    static constexpr float largest_moderate = 16.0f;
    float top, negative;
    MHC_MEMBER bool are_moderate() const { return top <= largest_moderate; }
};

/// All lanes of the wave must call it. The places of potentials are used.
template <int n, int lanes>
MHC_DEVICE logit_bounds bounds_of_logits(balance<n> s, int lane)
{
    for (int line = lane; line < n; line += lanes) {
        float top = -infinity(), negative = -infinity();
        for (int k = 0; k < n; ++k) {
            const float z = s.entries[line * n + k];
            top = larger(top, magnitude(z) <= logit_bounds::largest_moderate ? z : infinity());
            negative = larger(negative, -z);
        }
        s.hi(axis::row, line) = top;
        s.lo(axis::row, line) = negative;
    }
    wave_sync();
    float top = s.hi(axis::row, 0), negative = s.lo(axis::row, 0);
    for (int line = 1; line < n; ++line) {
        top = larger(top, s.hi(axis::row, line));
        negative = larger(negative, s.lo(axis::row, line));
    }
    wave_sync();
    return {top, negative};
}

/// All steps, on entries that are exponentials of moderate logits, where no line stays as it was. Steps on logits would take
/// several times as long, and give the same but for rounding.
///
/// Every sum passes a threshold that is below both the smallest entry and its ratio to the largest: in the first step each
/// sum has addends that are not smaller; the sums of the second differ by that ratio at most, their mean being 1; and each
/// later step's are means of the reciprocals of those before, so that their ratio does not grow.
template <class Options>
struct moderate_steps {
    using plan = sinkhorn_steps<Options>;
    static constexpr bool exist = !plan::is_softmax && plan::on_logits > 0;
    static constexpr int count = plan::all, anew = -1;
    static constexpr eps_mode mode = Options::mode == eps_mode::thresh ? eps_mode::none : Options::mode;
    static constexpr bool is_normal = true;
    static constexpr axis axis_of(int k) { return plan::axis_on_logits(k); }
    static MHC_MEMBER bool may_have_zeros(float) { return false; }

    static MHC_MEMBER bool are_for(logit_bounds z, float eps)
    {
        if (Options::mode != eps_mode::thresh) return z.are_moderate();
        const float most = -0.01f - log(eps);
        return z.are_moderate() && z.negative < most && z.top + z.negative < most;
    }
};

/// The same steps, of matrices of which some have had as many on logits as come before `anew`; lines may stay.
template <class Options>
struct mixed_steps {
    static constexpr int count = sinkhorn_steps<Options>::all, anew = sinkhorn_steps<Options>::on_logits;
    static constexpr eps_mode mode = Options::mode;
    static constexpr bool is_normal = sinkhorn_steps<Options>::adds;
    static constexpr axis axis_of(int k) { return sinkhorn_steps<Options>::axis_on_logits(k); }
    static MHC_MEMBER bool may_have_zeros(float) { return true; }
};

}  // namespace mhc
