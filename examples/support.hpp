// examples/support.hpp -- what the examples share: tensors in a target's memory, and random numbers to fill them with.
//
// A program with a GPU runtime of its own needs none of this: it passes its own pointers, as hip_stream.cpp and
// cuda_stream.cpp do.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <mhc/jit.hpp>
#include <random>
#include <utility>
#include <vector>

#include "reference.hpp"

namespace example {

/// `count` elements in the memory of a device, or of this process on `host`.
template <class T>
class tensor {
public:
    tensor(mhc::jit::device& on, std::size_t count)
        : on_(&on), count_(count), data_(static_cast<T*>(on.allocate(count * sizeof(T)).value()))
    {
    }
    tensor(mhc::jit::device& on, const std::vector<T>& values) : tensor(on, values.size()) { assign(values); }
    ~tensor()
    {
        if (data_ != nullptr) on_->release(data_);
    }
    tensor(tensor&& other) noexcept : on_(other.on_), count_(other.count_), data_(std::exchange(other.data_, nullptr)) {}
    tensor& operator=(tensor&&) = delete;

    T* data() const { return data_; }
    void assign(const std::vector<T>& values) { on_->upload(data_, values.data(), values.size() * sizeof(T)).value(); }
    /// What it holds. The stream that writes it must have been waited for.
    std::vector<T> values() const
    {
        std::vector<T> copy(count_);
        on_->download(copy.data(), data_, count_ * sizeof(T)).value();
        return copy;
    }

private:
    mhc::jit::device* on_;
    std::size_t count_;
    T* data_;
};

inline std::vector<float> random_floats(std::size_t count, float deviation, unsigned seed)
{
    std::mt19937 bits(seed);
    std::normal_distribution<float> draw(0.0F, deviation);
    std::vector<float> values(count);
    for (float& value : values) value = draw(bits);
    return values;
}

inline std::vector<std::uint16_t> random_bf16(std::size_t count, float deviation, unsigned seed)
{
    std::vector<std::uint16_t> values;
    for (const float value : random_floats(count, deviation, seed)) values.push_back(to_bf16(value));
    return values;
}

/// The parameters of one layer's pre_fwd: fn [n*n+2n, n*C], scale [3], base [n*n+2n].
struct layer_parameters {
    tensor<float> fn, scale, base;

    layer_parameters(mhc::jit::device& on, std::size_t n, std::size_t C, unsigned seed)
        : fn(on, random_floats((n * n + 2 * n) * n * C, 1.0F / std::sqrt(float(n * C)), seed)),
          scale(on, std::vector<float>(3, 1.0F)),
          base(on, random_floats(n * n + 2 * n, 0.5F, seed + 1))
    {
    }
};

/// Prints and returns whether an error is within its bound.
inline bool agrees(const char* name, double error, double bound)
{
    std::printf("  %-12s differs by %.1e of its norm, %.1e is allowed%s\n", name, error, bound,
                error <= bound ? "" : ": too large");
    return error <= bound;
}

}  // namespace example
