// emulator/vector_compare.cpp -- v_cmp, v_cmpx, v_cmp_class: a bit a lane.
#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/numbers.hpp"

namespace mhc::emulator {
namespace {

/// The two sources. v_cmpx writes exec: alone from gfx10 on, where its text has no destination, and another mask beside it
/// before.
struct compared {
    const operand *a, *b;
};
template <bool WritesExec>
compared sources(const operation& op)
{
    if (WritesExec && op.from_count == 3) return {&op.from[1], &op.from[2]};
    return {&op.from[0], &op.from[1]};
}

/// Lanes that are not active get 0.
template <bool WritesExec>
void finish(wave& w, const operation& op, const row& flags)
{
    const u64 mask = packed(w, flags) & w.exec();
    if (!WritesExec) w.set_mask(op.to[0].index, mask);
    if (WritesExec && op.from_count == 3) w.set_mask(op.from[0].index, mask);
    if (WritesExec) w.set_mask(scalar::exec, mask);
}

struct as_signed {
    static i32 of(u32 v) { return static_cast<i32>(v); }
};
struct as_unsigned {
    static u32 of(u32 v) { return v; }
};
struct as_signed_half {
    static i16 of(u32 v) { return static_cast<i16>(v); }
};
struct as_unsigned_half {
    static u16 of(u32 v) { return static_cast<u16>(v); }
};

template <class As, auto F, bool X>
void integers(wave& w, const operation& op)
{
    const auto [from_a, from_b] = sources<X>(op);
    row buffer_a, buffer_b, flags;
    const u32* a = read(w, op, *from_a, 0, buffer_a);
    const u32* b = read(w, op, *from_b, 0, buffer_b);
    each_lane(w, [&](u32 i) { flags[i] = F(As::of(a[i]), As::of(b[i])) ? ~0U : 0; });
    finish<X>(w, op, flags);
}

template <bool IsSigned, auto F, bool X>
void wide_integers(wave& w, const operation& op)
{
    const auto [from_a, from_b] = sources<X>(op);
    wide_row a, b;
    row flags;
    read_wide(w, op, *from_a, a);
    read_wide(w, op, *from_b, b);
    each_lane(w, [&](u32 i) {
        const bool holds = IsSigned ? F(static_cast<i64>(a[i]), static_cast<i64>(b[i])) : F(a[i], b[i]);
        flags[i] = holds ? ~0U : 0;
    });
    finish<X>(w, op, flags);
}

template <auto F, bool X>
void singles(wave& w, const operation& op)
{
    const auto [from_a, from_b] = sources<X>(op);
    row buffer_a, buffer_b, flags;
    const u32* a = read_single(w, op, *from_a, buffer_a);
    const u32* b = read_single(w, op, *from_b, buffer_b);
    each_lane(w, [&](u32 i) { flags[i] = F(to_float(a[i]), to_float(b[i])) ? ~0U : 0; });
    finish<X>(w, op, flags);
}

template <auto F, bool X>
void halves(wave& w, const operation& op)
{
    const auto [from_a, from_b] = sources<X>(op);
    row buffer_a, buffer_b, flags;
    const u32* a = read(w, op, *from_a, 0, buffer_a);
    const u32* b = read(w, op, *from_b, 0, buffer_b);
    const auto value = [](u32 bits, const operand& from) {
        float v = half_to_single(bits & 0xFFFFU);
        if (from.is_absolute) v = std::fabs(v);
        return from.is_negated ? -v : v;
    };
    for (u32 i = 0; i < w.lanes; ++i) flags[i] = F(value(a[i], *from_a), value(b[i], *from_b)) ? ~0U : 0;
    finish<X>(w, op, flags);
}

template <auto F, bool X>
void doubles(wave& w, const operation& op)
{
    const auto [from_a, from_b] = sources<X>(op);
    wide_row a, b;
    row flags;
    read_double(w, op, *from_a, a);
    read_double(w, op, *from_b, b);
    each_lane(w, [&](u32 i) { flags[i] = F(to_double(a[i]), to_double(b[i])) ? ~0U : 0; });
    finish<X>(w, op, flags);
}

template <bool X>
void class_single(wave& w, const operation& op)
{
    const auto [from_a, from_b] = sources<X>(op);
    row buffer_a, buffer_b, flags;
    const u32* a = read_signed(w, op, *from_a, buffer_a);  // a denormal is one, whatever the mode
    const u32* b = read(w, op, *from_b, 0, buffer_b);
    for (u32 i = 0; i < w.lanes; ++i) flags[i] = (class_of(a[i]) & b[i]) != 0 ? ~0U : 0;
    finish<X>(w, op, flags);
}
template <bool X>
void class_double(wave& w, const operation& op)
{
    const auto [from_a, from_b] = sources<X>(op);
    wide_row a;
    row buffer, flags;
    read_double(w, op, *from_a, a);
    const u32* b = read(w, op, *from_b, 0, buffer);
    for (u32 i = 0; i < w.lanes; ++i) flags[i] = (class_of_double(a[i]) & b[i]) != 0 ? ~0U : 0;
    finish<X>(w, op, flags);
}

constexpr auto less = [](auto a, auto b) { return a < b; };
constexpr auto equal = [](auto a, auto b) { return a == b; };
constexpr auto less_equal = [](auto a, auto b) { return a <= b; };
constexpr auto greater = [](auto a, auto b) { return a > b; };
constexpr auto differs = [](auto a, auto b) { return a != b; };
constexpr auto greater_equal = [](auto a, auto b) { return a >= b; };
constexpr auto never = [](auto, auto) { return false; };
constexpr auto always = [](auto, auto) { return true; };
// Of floats alone: "n" holds where the plain one does not, so with a NaN too.
constexpr auto less_greater = [](auto a, auto b) { return a < b || a > b; };
constexpr auto ordered = [](auto a, auto b) { return a == a && b == b; };
constexpr auto unordered = [](auto a, auto b) { return a != a || b != b; };
constexpr auto not_less = [](auto a, auto b) { return !(a < b); };
constexpr auto not_less_equal = [](auto a, auto b) { return !(a <= b); };
constexpr auto not_greater = [](auto a, auto b) { return !(a > b); };
constexpr auto not_greater_equal = [](auto a, auto b) { return !(a >= b); };
constexpr auto not_less_greater = [](auto a, auto b) { return !(a < b || a > b); };

#define MHC_COMPARE(name, type, ...) \
    {"v_cmp_" name "_" type, __VA_ARGS__, false >, 1}, { "v_cmpx_" name "_" type, __VA_ARGS__, true >, 0 }
#define MHC_INTEGER_TYPES(name, F)                                                                                        \
    MHC_COMPARE(name, "u32", integers < as_unsigned, F), MHC_COMPARE(name, "i32", integers < as_signed, F),               \
        MHC_COMPARE(name, "u16", integers < as_unsigned_half, F), MHC_COMPARE(name, "i16", integers < as_signed_half, F), \
        MHC_COMPARE(name, "u64", wide_integers < false, F), MHC_COMPARE(name, "i64", wide_integers < true, F)
#define MHC_FLOAT_TYPES(name, F) \
    MHC_COMPARE(name, "f32", singles < F), MHC_COMPARE(name, "f64", doubles < F), MHC_COMPARE(name, "f16", halves < F)

const handler_entry entries[] = {
    MHC_INTEGER_TYPES("lt", less),
    MHC_INTEGER_TYPES("eq", equal),
    MHC_INTEGER_TYPES("le", less_equal),
    MHC_INTEGER_TYPES("gt", greater),
    MHC_INTEGER_TYPES("ne", differs),
    MHC_INTEGER_TYPES("ge", greater_equal),
    MHC_INTEGER_TYPES("f", never),
    MHC_INTEGER_TYPES("t", always),
    MHC_FLOAT_TYPES("lt", less),
    MHC_FLOAT_TYPES("eq", equal),
    MHC_FLOAT_TYPES("le", less_equal),
    MHC_FLOAT_TYPES("gt", greater),
    MHC_FLOAT_TYPES("lg", less_greater),
    MHC_FLOAT_TYPES("ge", greater_equal),
    MHC_FLOAT_TYPES("o", ordered),
    MHC_FLOAT_TYPES("u", unordered),
    MHC_FLOAT_TYPES("nge", not_greater_equal),
    MHC_FLOAT_TYPES("nlg", not_less_greater),
    MHC_FLOAT_TYPES("ngt", not_greater),
    MHC_FLOAT_TYPES("nle", not_less_equal),
    MHC_FLOAT_TYPES("neq", differs),
    MHC_FLOAT_TYPES("nlt", not_less),
    MHC_FLOAT_TYPES("f", never),
    MHC_FLOAT_TYPES("tru", always),
    {"v_cmp_class_f32", class_single<false>, 1},
    {"v_cmpx_class_f32", class_single<true>, 0},
    {"v_cmp_class_f64", class_double<false>, 1},
    {"v_cmpx_class_f64", class_double<true>, 0},
};

}  // namespace

handler_family vector_compare_family() { return entries; }

}  // namespace mhc::emulator
