// tests/support/call_types.hpp -- whether our declaration of a function and its owner's are called alike.
//
// The types differ by name (our handles are void*, our enumerations int), so each is compared by what a call passes.
#pragma once

#include <type_traits>

namespace mhc::testing {

/// Types that only a name is known of: void, and structures behind handles.
template <class T>
constexpr bool is_opaque = std::is_void_v<T> || std::is_class_v<T>;

/// Whether a call passes both alike: pointers of equal depth to the same kind of thing, integers of one size, equal floats.
template <class A, class B>
constexpr bool is_passed_alike()
{
    using X = std::remove_cv_t<A>;
    using Y = std::remove_cv_t<B>;
    if constexpr (std::is_pointer_v<X> && std::is_pointer_v<Y>)
        return is_passed_alike<std::remove_pointer_t<X>, std::remove_pointer_t<Y>>();
    else if constexpr (is_opaque<X> || is_opaque<Y>)
        return is_opaque<X> && is_opaque<Y>;
    else if constexpr (std::is_floating_point_v<X> || std::is_floating_point_v<Y>)
        return std::is_same_v<X, Y>;
    else if constexpr (std::is_pointer_v<X> || std::is_pointer_v<Y>)
        return false;
    else
        return sizeof(X) == sizeof(Y);
}

template <class Ours, class Theirs>
struct is_called_alike : std::false_type {
};
template <class R, class... A, class S, class... B>
requires(sizeof...(A) == sizeof...(B)) struct is_called_alike<R (*)(A...), S (*)(B...)>
    : std::bool_constant<is_passed_alike<R, S>() && (... && is_passed_alike<A, B>())> {
};

}  // namespace mhc::testing
