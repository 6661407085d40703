// tests/reference/number.hpp -- a float64 value and the sum of the absolute values of the terms it was added up from.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "tests/reference/tensors.hpp"

namespace mhc::reference {

/// A formula written with numbers gives its value and, beside it, the same formula with every term's absolute value.
struct number {
    double value = 0, terms = 0;

    number() = default;
    number(double exact) : value(exact), terms(std::abs(exact)) {}  // NOLINT: a plain double is a number of one term
    number(double of_value, double of_terms) : value(of_value), terms(of_terms) {}

    number& operator+=(const number& other)
    {
        value += other.value;
        terms += other.terms;
        return *this;
    }
};

inline number operator+(const number& a, const number& b) { return {a.value + b.value, a.terms + b.terms}; }
inline number operator-(const number& a, const number& b) { return {a.value - b.value, a.terms + b.terms}; }
inline number operator*(const number& a, const number& b) { return {a.value * b.value, a.terms * b.terms}; }

using numbers = std::vector<number>;

/// Elements of a tensor as numbers, and numbers as a tensor.
inline number at(const tensor& from, std::int64_t index)
{
    return {from.value[static_cast<std::size_t>(index)], from.terms[static_cast<std::size_t>(index)]};
}

inline void put(tensor& to, std::int64_t index, const number& element)
{
    to.value[static_cast<std::size_t>(index)] = element.value;
    to.terms[static_cast<std::size_t>(index)] = element.terms;
}

inline tensor tensor_of(const numbers& from)
{
    tensor made(static_cast<std::int64_t>(from.size()));
    for (std::size_t i = 0; i < from.size(); ++i) put(made, static_cast<std::int64_t>(i), from[i]);
    return made;
}

}  // namespace mhc::reference
