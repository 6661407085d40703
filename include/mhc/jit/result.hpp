// mhc/jit/result.hpp -- result<T>: a value, or a failure with a code and one clear message.
//
// Names follow std::expected. Nothing in the library throws across the API but `result<T>::value()` on a failure.
#pragma once

#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace mhc::jit {

/// What went wrong, as coarse as callers act on it.
enum class errc {
    bad_spec,            ///< the request cannot be: a field, its value, what is allowed
    unsupported_target,  ///< no compiler or loader here for that target
    not_prebuilt,        ///< strict mode, and no stored code object has the key
    compile_failed,      ///< the message ends with the compiler's log
    load_failed,         ///< a code object could not be loaded
    launch_failed,       ///< bad launch arguments, or the driver refused
};

/// The code's name, such as "bad_spec".
const char* to_string(errc code) noexcept;

/// A code and a message: what, with which value, what is allowed, what to do.
struct failure {
    errc code = errc::bad_spec;
    std::string message;
};

/// Thrown by `result<T>::value()` on a failure; `what()` is the failure's message.
class exception : public std::exception {
public:
    explicit exception(failure why) : why_(std::move(why)) {}
    const char* what() const noexcept override { return why_.message.c_str(); }
    const failure& why() const noexcept { return why_; }

private:
    failure why_;
};

template <class T>
class [[nodiscard]] result {
public:
    result(T value) : state_(std::move(value)) {}
    result(failure why) : state_(std::move(why)) {}

    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    T& operator*() & { return std::get<0>(state_); }
    const T& operator*() const& { return std::get<0>(state_); }
    T operator*() && { return std::get<0>(std::move(state_)); }  // by value: `for (auto& x : *f())` would dangle
    T* operator->() { return &std::get<0>(state_); }
    const T* operator->() const { return &std::get<0>(state_); }

    /// The failure. Precondition: `!has_value()`.
    const failure& error() const { return std::get<1>(state_); }

    /// The value, or throws `exception`.
    T& value() & { return check(), std::get<0>(state_); }
    const T& value() const& { return check(), std::get<0>(state_); }
    T value() && { return check(), std::get<0>(std::move(state_)); }

private:
    void check() const
    {
        if (!has_value()) throw exception(error());
    }
    std::variant<T, failure> state_;
};

template <>
class [[nodiscard]] result<void> {
public:
    result() = default;
    result(failure why) : why_(std::move(why)) {}

    bool has_value() const noexcept { return !why_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }
    const failure& error() const { return *why_; }
    void value() const
    {
        if (why_) throw exception(*why_);
    }

private:
    std::optional<failure> why_;
};

}  // namespace mhc::jit
