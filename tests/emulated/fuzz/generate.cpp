// tests/emulated/fuzz/generate.cpp -- expressions that C defines: nothing here overflows, divides by zero, shifts too far or
// converts out of range; and nothing depends on which NaN an operation gives.
#include "tests/emulated/fuzz/generate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <random>
#include <string_view>

namespace mhc::emulator::fuzz {
namespace {

enum class kind { integer, floating, vector };
struct type {
    std::string_view name;
    kind of;
    int bits;  ///< of an element
    bool is_signed = false;
    std::string_view other = {};  ///< integers: of the other sign; vectors: the element
};
constexpr std::array<type, 15> types{{{"i8", kind::integer, 8, true, "u8"},
                                      {"u8", kind::integer, 8, false, "i8"},
                                      {"i16", kind::integer, 16, true, "u16"},
                                      {"u16", kind::integer, 16, false, "i16"},
                                      {"i32", kind::integer, 32, true, "u32"},
                                      {"u32", kind::integer, 32, false, "i32"},
                                      {"i64", kind::integer, 64, true, "u64"},
                                      {"u64", kind::integer, 64, false, "i64"},
                                      {"f16", kind::floating, 16, true},
                                      {"f32", kind::floating, 32, true},
                                      {"f64", kind::floating, 64, true},
                                      {"i16x2", kind::vector, 16, true, "i16"},
                                      {"u16x2", kind::vector, 16, false, "u16"},
                                      {"f16x2", kind::vector, 16, true, "f16"},
                                      {"f32x2", kind::vector, 32, true, "f32"}}};

const type& type_named(std::string_view name)
{
    return *std::find_if(types.begin(), types.end(), [&](const type& each) { return each.name == name; });
}

class writer {
public:
    explicit writer(std::uint64_t seed) : random_(seed * 0x9E3779B97F4A7C15U + 1) {}

    generated write()
    {
        for (const type& each : types) begin(each);
        constexpr int statements = 72;
        for (int i = 0; i < statements; ++i) {
            // 32 and 64 bits more often than the rest: most instructions are theirs.
            const type& to = below(3) == 0 ? type_named(below(2) == 0 ? "u32" : "f32") : types[below(types.size())];
            declare(to, expression(to));
        }
        // The last ones, which nothing else uses, and some of the others.
        std::vector<std::size_t> stored;
        for (std::size_t i = first_made_; i < all_.size(); ++i) stored.push_back(i);
        while (stored.size() > output_words) stored.erase(stored.begin() + below(stored.size() - output_words / 2));
        for (std::size_t i = 0; i < stored.size(); ++i) {
            made_.body += fmt::format("    out[{}] = bits({});\n", i, all_[stored[i]].name);
            made_.statements.push_back(all_[stored[i]].text);
        }
        return std::move(made_);
    }

private:
    struct variable {
        std::string name, text;
        const type* of;
    };

    std::size_t below(std::size_t n) { return random_() % n; }
    template <std::size_t N>
    std::string_view one_of(const std::array<std::string_view, N>& choices)
    {
        return choices[below(N)];
    }

    void declare(const type& of, const std::string& value)
    {
        const std::string name = fmt::format("v{}", all_.size());
        std::string text = fmt::format("const {} {} = {};", of.name, name, value);
        made_.body += "    " + text + "\n";
        all_.push_back({name, std::move(text), &of});
    }

    /// Two of a type from this item's input and one from what all share, which GPUs compute with scalar instructions.
    void begin(const type& of)
    {
        for (const char* from : {"own", "own", "shared"}) {
            const std::string word = fmt::format("{}[{}]", from, word_for(of));
            if (of.of == kind::integer)
                declare(of, fmt::format("({})({} >> {})", of.name, word, shift_for(of.bits)));
            else if (of.of == kind::floating)
                declare(of, fmt::format("as_{}((u{})({} >> {}))", of.name, of.bits, word, shift_for(of.bits)));
            else
                declare(of, fmt::format("{}{{{}, {}}}", of.name, any(of.other), any(of.other)));
        }
        first_made_ = all_.size();
    }
    /// Words 0 to 2 are integers, 3 is halves, 4 and 5 floats, 6 and 7 doubles: inputs_of.
    std::size_t word_for(const type& of)
    {
        if (of.of == kind::integer) return below(3);
        return of.bits == 16 ? 3 : of.bits == 32 ? 4 + below(2) : 6 + below(2);
    }
    std::size_t shift_for(int bits) { return below(static_cast<std::size_t>(64 / bits)) * static_cast<std::size_t>(bits); }

    /// A variable of the type; later ones more often.
    std::string any(std::string_view name)
    {
        std::vector<const variable*> fitting;
        for (const variable& each : all_)
            if (each.of->name == name) fitting.push_back(&each);
        const std::size_t n = fitting.size();
        return fitting[below(2) == 0 ? n - 1 - below(std::min<std::size_t>(n, 3)) : below(n)]->name;
    }
    const type& any_type(kind of)
    {
        while (true)
            if (const type& one = types[below(types.size())]; one.of == of) return one;
    }

    std::string condition()
    {
        const type& of = below(2) == 0 ? any_type(kind::integer) : any_type(kind::floating);
        static constexpr std::array<std::string_view, 6> comparisons{"<", "<=", "==", "!=", ">", ">="};
        const std::string one = fmt::format("{} {} {}", any(of.name), one_of(comparisons), any(of.name));
        if (below(4) != 0) return one;
        return fmt::format("({}) {} ({} > {})", one, below(2) == 0 ? "&&" : "||", any("i32"), any("i32"));
    }

    std::string expression(const type& to)
    {
        if (below(8) == 0 && to.of != kind::vector)
            return fmt::format("{} ? {} : {}", condition(), any(to.name), any(to.name));
        if (below(6) == 0 && to.of != kind::vector) return conversion(to);
        if (to.of == kind::integer) return to.bits >= 32 && below(3) == 0 ? wide_integer(to) : integer(to);
        return to.of == kind::floating ? floating(to) : vector(to);
    }

    std::string conversion(const type& to)
    {
        const type& from = below(2) == 0 ? any_type(kind::integer) : any_type(kind::floating);
        const std::string a = any(from.name);
        if (to.of == kind::floating && below(4) == 0)
            return fmt::format("as_{}(({})({}))", to.name, fmt::format("u{}", to.bits), any("u64"));
        // Through fp32 in both places: compilers differ in whether they go there at once.
        if (to.name == "f16" && from.bits > 16) return fmt::format("(f16)(f32){}", a);
        if (to.of == kind::floating || from.of == kind::integer) return fmt::format("({}){}", to.name, a);
        if (below(3) == 0 && to.bits >= from.bits) return fmt::format("({})bits({})", to.name, a);
        // What is out of range is chosen away; the bounds are exact in every format.
        const int bits = std::min(to.bits, from.bits == 16 ? 15 : 64);
        const std::string high = fmt::format("{}.0", std::uint64_t{1} << (bits - (to.is_signed ? 1 : 0) - 1));
        const std::string value = from.bits == 16 ? fmt::format("(f32){}", a) : a;
        return fmt::format("{} > {} && {} < {} ? ({}){} : ({})1", a, to.is_signed ? "-" + high : "-1.0", a, high, to.name,
                           value, to.name);
    }

    std::string integer(const type& to)
    {
        const std::string a = any(to.name), b = any(to.name), c = any(to.name);
        const std::string_view u = to.is_signed ? to.other : to.name;
        const int last = to.bits - 1;
        static constexpr std::array<std::string_view, 6> plain{"+", "-", "*", "&", "|", "^"};
        switch (below(18)) {
            case 0:
                return fmt::format("({})(({}){} << ({} & {}))", to.name, u, a, b, last);
            case 1:
                return fmt::format("({})({} >> ({} & {}))", to.name, a, b, last);
            case 2:
                return fmt::format("({})({} >> {})", to.name, a, 1 + below(static_cast<std::size_t>(last)));
            case 3:
                return fmt::format("({})(({}){} << {})", to.name, u, a, 1 + below(static_cast<std::size_t>(last)));
            case 4:
                return fmt::format("{}{}", below(2) == 0 ? "(decltype(" + a + "))~" : "(decltype(" + a + "))-", a);
            case 5:
                return fmt::format("__builtin_elementwise_{}({}, {})", below(2) == 0 ? "min" : "max", a, b);
            case 6:
                return fmt::format("__builtin_elementwise_{}_sat({}, {})", below(2) == 0 ? "add" : "sub", a, b);
            case 7:
                return quotient(to, a, b);
            case 8:
                return fmt::format("({})({} + {} + {})", to.name, a, b, c);
            case 9:
                return fmt::format("({})({} * {} + {})", to.name, a, b, c);
            case 10:
                return fmt::format("({})(({} & {}) | (({})~{} & {}))", to.name, a, b, to.name, a, c);
            case 11:
                return fmt::format("({})(({} << {}) + {})", to.name, a, 1 + below(5), b);
            case 12:
                return to.is_signed ? fmt::format("__builtin_elementwise_abs({})", a)
                                    : fmt::format("({})({} > {} ? {} - {} : {} - {})", to.name, a, b, a, b, b, a);
            case 13:
                return fmt::format("({})({} >> {} & {})", to.name, a, below(static_cast<std::size_t>(to.bits)),
                                   (std::uint64_t{1} << (1 + below(static_cast<std::size_t>(last)))) - 1);
            default:
                return fmt::format("({})({} {} {})", to.name, a, one_of(plain), b);
        }
    }

    /// A source of min and max: which zero is larger is not said, nor what a signalling NaN gives. The sum alone would do,
    /// but clang 19 reads `0.0 - x`, which it makes of `-x + 0.0`, as `-x` in a source of min and max on AMD targets.
    static std::string without_surprise(std::string_view a, std::string_view suffix)
    {
        return fmt::format("(({0} == 0 ? 0.0{1} : {0}) + 0.0{1})", a, suffix);
    }

    /// The divisor is positive. The numerator of an unsigned one has no bits that the compiler knows: clang 19 divides what
    /// it sees to be sign-extended in floats, and inexactly (LLVM pull requests 116733, 119325, 196418).
    std::string quotient(const type& to, const std::string& a, const std::string& b)
    {
        const std::uint64_t most = (~std::uint64_t{0} >> (64 - to.bits)) >> 1;
        const std::string x = to.is_signed ? a : fmt::format("({})({} ^ shared[1])", to.name, a);
        return fmt::format("({})({} {} (({})(({} & {}) | 1)))", to.name, x, below(2) == 0 ? "/" : "%", to.name, b, most);
    }

    std::string wide_integer(const type& to)
    {
        const std::string a = any("u32"), b = any("u32"), c = any("u32"), x = any("u64"), y = any("u64");
        const std::string s = any("i32"), t = any("i32");
        switch (below(17)) {
            case 0:
                return fmt::format("({})((u64){} * {} >> 32)", to.name, a, b);
            case 1:
                return fmt::format("({})((i64){} * {} >> 32)", to.name, s, t);
            case 2:
                return fmt::format("({})({} == 0 ? 32 : __builtin_clz({}))", to.name, a, a);
            case 3:
                return fmt::format("({})({} == 0 ? 64 : __builtin_ctzll({}))", to.name, x, x);
            case 4:
                return fmt::format("({})__builtin_popcount{}({})", to.name, to.bits == 64 ? "ll" : "",
                                   to.bits == 64 ? x : a);
            case 5:
                return fmt::format("({})__builtin_bswap{}({})", to.name, to.bits, to.bits == 64 ? x : a);
            case 6:
                return fmt::format("({})__builtin_bitreverse{}({})", to.name, to.bits, to.bits == 64 ? x : a);
            case 7:
                return fmt::format("({})({} << ({} & 31) | {} >> (-{} & 31))", to.name, a, b, a, b);
            case 8:
                return fmt::format("({})(({} & 0xFFFFFF) * ({} & 0xFFFFFF) + {})", to.name, a, b, c);
            case 9:
                return fmt::format("({})((({} << 8) >> 8) * (({} << 8) >> 8) + {})", to.name, s, t, any("i32"));
            case 10:  // sums of products of bytes and of 16-bit halves
                return fmt::format(
                    "({})(({} & 255) * ({} & 255) + ({} >> 8 & 255) * ({} >> 8 & 255) + ({} >> 16 & 255) * ({} >> 16 & 255) "
                    "+ "
                    "({} >> 24) * ({} >> 24) + {})",
                    to.name, a, b, a, b, a, b, a, b, c);
            case 11:
                return fmt::format("({})((i32)(i16){} * (i16){} + ({} >> 16) * ({} >> 16) + {})", to.name, s, t, s, t,
                                   any("i32"));
            case 12:  // bytes put in another order
                return fmt::format("({})(({} >> 8 & 0xFF) | ({} & 0xFF00) | ({} << 16 & 0xFF0000) | {} << 24)", to.name, a,
                                   b, a, b);
            case 13:
                return fmt::format("({})(({} ^ {}) + {})", to.name, a, b, c);
            case 14:
                return fmt::format("({})((u64){} * {} + {})", to.name, a, b, x);
            case 15:
                return fmt::format("({})({} + (((u64){} << 32) | {}) - {})", to.name, x, a, b, y);
            default:
                return fmt::format("({})(({} >> ({} & 63)) ^ ({} << {}))", to.name, x, a, y, 1 + below(63));
        }
    }

    std::string floating(const type& to)
    {
        const std::string a = any(to.name), b = any(to.name), c = any(to.name);
        const std::string_view suffix = to.bits == 64 ? "" : "f";
        // Functions of halves are those of floats: exact, or rounded right when rounded twice.
        const auto call = [&](std::string_view f) {
            return to.bits == 16 ? fmt::format("(f16)__builtin_{}f((f32){})", f, a)
                                 : fmt::format("__builtin_{}{}({})", f, suffix, a);
        };
        static constexpr std::array<std::string_view, 4> plain{"+", "-", "*", "+"};
        static constexpr std::array<std::string_view, 5> functions{"sqrt", "floor", "ceil", "trunc", "rint"};
        switch (below(13)) {
            case 0:
                return fmt::format("-{}", a);
            case 1:
                return to.bits == 16 ? fmt::format("{} < 0 ? -{} : {}", a, a, a)
                                     : fmt::format("__builtin_fabs{}({})", suffix, a);
            case 2:
                return call(one_of(functions));
            case 3:  // a quotient
                return fmt::format("({})({} / {})", to.name, a, b);
            case 4:  // of a host's fma of halves only that it rounds twice is known
                if (to.bits == 16) return fmt::format("(f16)((f16)({} * {}) + {})", a, b, c);
                return fmt::format("__builtin_fma{}({}, {}, {})", suffix, a, below(2) == 0 ? b : "-" + b, c);
            case 5:
                if (to.bits == 16) return fmt::format("{} < {} ? {} : {}", a, b, a, b);
                return fmt::format("__builtin_f{}{}({}, {})", below(2) == 0 ? "min" : "max", suffix,
                                   without_surprise(a, suffix), without_surprise(b, suffix));
            case 6:
                return fmt::format("({} < 0 ? ({})0 : {} > 1 ? ({})1 : {})", a, to.name, a, to.name, a);
            case 7:
                if (to.bits == 16) return fmt::format("(f16)({} * (f16)0.5f)", a);
                return fmt::format("__builtin_copysign{}({}, {} == {} ? {} : 1)", suffix, a, b, b, b);
            case 8:
                if (to.bits != 32) return fmt::format("({})({} + {})", to.name, a, b);
                return fmt::format("__builtin_fmaf((f32){}, (f32){}, {})", any("f16"), any("f16"), c);
            default:
                return fmt::format("({})({} {} {})", to.name, a, one_of(plain), b);
        }
    }

    std::string vector(const type& to)
    {
        const std::string a = any(to.name), b = any(to.name), c = any(to.name);
        static constexpr std::array<std::string_view, 6> plain{"+", "-", "*", "&", "|", "^"};
        const bool is_float = to.name.front() == 'f';
        switch (below(6)) {
            case 0:
                return fmt::format("{}{{{}, {}}}", to.name, any(to.other), any(to.other));
            case 1:
                return fmt::format("{}.yx", a);
            case 2:
                if (to.name == "f32x2") return fmt::format("__builtin_elementwise_fma({}, {}, {})", a, b, c);
                if (is_float) return fmt::format("-{}", a);
                return fmt::format("__builtin_elementwise_{}({}, {})", below(2) == 0 ? "min" : "max", a, b);
            case 3:
                if (is_float) return fmt::format("{} * {}.xx", a, b);
                return fmt::format("{} {} ({} & 15)", a, below(2) == 0 && !to.is_signed ? "<<" : ">>", b);
            case 4:
                if (is_float) return fmt::format("{} - {}.yx", a, b);
                return fmt::format("__builtin_elementwise_{}_sat({}, {})", below(2) == 0 ? "add" : "sub", a, b);
            default:
                return fmt::format("{} {} {}", a, plain[below(is_float ? 3 : plain.size())], b);
        }
    }

    std::mt19937_64 random_;
    std::vector<variable> all_;
    std::size_t first_made_ = 0;
    generated made_;
};

// An element of a vector is copied before its bits are taken: clang 15 to 22 read element 0 of `bit_cast(v.y)`.
constexpr std::string_view prelude = R"(typedef signed char i8;
typedef unsigned char u8;
typedef short i16;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long i64;
typedef unsigned long u64;
typedef _Float16 f16;
typedef float f32;
typedef double f64;
typedef i16 i16x2 __attribute__((ext_vector_type(2)));
typedef u16 u16x2 __attribute__((ext_vector_type(2)));
typedef f16 f16x2 __attribute__((ext_vector_type(2)));
typedef f32 f32x2 __attribute__((ext_vector_type(2)));
#if defined(__AMDGCN__)
#define INSIDE static __attribute__((device, always_inline)) inline
#else
#define INSIDE static __attribute__((always_inline)) inline
#endif
INSIDE f16 as_f16(u16 v) { return __builtin_bit_cast(f16, v); }
INSIDE f32 as_f32(u32 v) { return __builtin_bit_cast(f32, v); }
INSIDE f64 as_f64(u64 v) { return __builtin_bit_cast(f64, v); }
INSIDE u64 bits(i8 v) { return (u64)v; }
INSIDE u64 bits(u8 v) { return v; }
INSIDE u64 bits(i16 v) { return (u64)v; }
INSIDE u64 bits(u16 v) { return v; }
INSIDE u64 bits(i32 v) { return (u64)v; }
INSIDE u64 bits(u32 v) { return v; }
INSIDE u64 bits(i64 v) { return (u64)v; }
INSIDE u64 bits(u64 v) { return v; }
INSIDE u64 bits(f16 v) { return v != v ? 0x7E00 : __builtin_bit_cast(u16, v); }
INSIDE u64 bits(f32 v) { return v != v ? 0x7FC00000 : __builtin_bit_cast(u32, v); }
INSIDE u64 bits(f64 v) { return v != v ? 0x7FF8000000000000 : __builtin_bit_cast(u64, v); }
INSIDE u64 bits(i16x2 v) { const i16 x = v.x, y = v.y; return (u64)(u16)x | (u64)(u16)y << 32; }
INSIDE u64 bits(u16x2 v) { const u16 x = v.x, y = v.y; return (u64)x | (u64)y << 32; }
INSIDE u64 bits(f16x2 v) { const f16 x = v.x, y = v.y; return bits(x) | bits(y) << 32; }
INSIDE u64 bits(f32x2 v) { const f32 x = v.x, y = v.y; return bits(x) | bits(y) << 32; }
)";

}  // namespace

generated generate(std::uint64_t seed)
{
    generated made = writer(seed).write();
    made.seed = seed;
    return made;
}

std::string source_of(const std::vector<generated>& all)
{
    std::string text(prelude);
    for (const generated& each : all) {
        text += fmt::format("INSIDE void body_{}(const u64* own, const u64* shared, u64* out)\n{{\n{}}}\n", each.seed,
                            each.body);
        text += fmt::format(
            "#if defined(__AMDGCN__)\n"
            "extern \"C\" __attribute__((global, amdgpu_flat_work_group_size(64, 64)))\n"
            "void fuzz_{0}(const u64* __restrict own, const u64* __restrict shared, u64* __restrict out)\n"
            "{{\n    const u64 i = __builtin_amdgcn_workgroup_id_x() * 64 + __builtin_amdgcn_workitem_id_x();\n"
            "    body_{0}(own + i * {1}, shared, out + i * {2});\n}}\n"
            "#else\n"
            "extern \"C\" __attribute__((visibility(\"default\")))\n"
            "void fuzz_{0}(const u64* own, const u64* shared, u64* out, u64 items)\n"
            "{{\n    for (u64 i = 0; i < items; ++i) body_{0}(own + i * {1}, shared, out + i * {2});\n}}\n"
            "#endif\n",
            each.seed, input_words, output_words);
    }
    return text;
}

std::vector<std::uint64_t> inputs_of(std::uint64_t seed, int items)
{
    std::mt19937_64 random(seed + 77);
    static constexpr std::array<std::uint64_t, 8> integers{
        0, 1, ~0U, 0x8000000080000000U, 0x7FFFFFFF7FFFFFFFU, 0x8080808080808080U, 0x7F7F80008000FFFFU, ~std::uint64_t{0}};
    static constexpr std::array<std::uint16_t, 10> halves{0,      0x8000, 1,      0x83FF, 0x0400,
                                                          0x7BFF, 0x7C00, 0xFC00, 0x7E00, 0x7D01};
    static constexpr std::array<std::uint32_t, 10> singles{0,          0x80000000, 1,          0x807FFFFF, 0x00800000,
                                                           0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001};
    static constexpr std::array<std::uint64_t, 10> doubles{0,
                                                           0x8000000000000000,
                                                           1,
                                                           0x800FFFFFFFFFFFFF,
                                                           0x0010000000000000,
                                                           0x7FEFFFFFFFFFFFFF,
                                                           0x7FF0000000000000,
                                                           0xFFF0000000000000,
                                                           0x7FF8000000000000,
                                                           0x7FF0000000000001};
    // A number whose exponent is near that of 1, so that sums mean something; or a special one; or any bits.
    const auto ordinary = [&](int fraction_bits, std::uint64_t bias) {
        const std::uint64_t fraction = random() & random() & ((std::uint64_t{1} << fraction_bits) - 1);
        return (random() & 1) << 63 >> (fraction_bits == 52   ? 0
                                        : fraction_bits == 23 ? 32
                                                              : 48) |
               (bias - 6 + random() % 13) << fraction_bits | fraction;
    };
    std::vector<std::uint64_t> all;
    for (int item = 0; item < items; ++item) {
        const auto choose = [&](std::uint64_t special, std::uint64_t usual) {
            const auto n = random() % 8;
            return n == 0 ? special : n == 1 ? random() : usual;
        };
        const std::uint64_t small = (random() % 64) * 0x0001000000010001U + random() % 8;
        all.push_back(choose(integers[random() % integers.size()], random() % 2 == 0 ? random() : small));
        all.push_back(choose(integers[random() % integers.size()], random()));
        all.push_back(choose(integers[random() % integers.size()], small));
        std::uint64_t packed = 0;
        for (int i = 0; i < 4; ++i)
            packed = packed << 16 | (choose(halves[random() % halves.size()], ordinary(10, 15)) & 0xFFFF);
        all.push_back(packed);
        for (int word = 0; word < 2; ++word) {
            packed = 0;
            for (int i = 0; i < 2; ++i)
                packed = packed << 32 | (choose(singles[random() % singles.size()], ordinary(23, 127)) & 0xFFFFFFFF);
            all.push_back(packed);
        }
        for (int word = 0; word < 2; ++word) all.push_back(choose(doubles[random() % doubles.size()], ordinary(52, 1023)));
    }
    return all;
}

}  // namespace mhc::emulator::fuzz
