// runtime/launch_check.hpp -- arguments of a launch: what is wrong, in one line, or the values the kernels take.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <mhc/jit/args.hpp>
#include <mhc/jit/result.hpp>

#include "codegen/plan.hpp"
#include "runtime/engine_impl.hpp"

namespace mhc::runtime {

/// Collects one operator's arguments; remembers the first that cannot be. Costs nothing but comparisons when all can.
class launch_check {
public:
    launch_check(const jit::compiled_layer::impl& layer, jit::operation op, std::int64_t tokens);

    void data_in(codegen::slot what, const void* p) { pointer(what, p, layer_.row_align); }
    void data_out(codegen::slot what, void* p) { pointer(what, p, layer_.row_align); }
    void weight(codegen::slot what, const void* p) { pointer(what, p, layer_.weight_align); }
    void f32(codegen::slot what, const float* p) { pointer(what, p, 4); }
    void workspace(void* p);  ///< may be null where the operator needs none of it
    /// A parameter's gradient is stored even where there are no tokens.
    void parameter(codegen::slot what, float* p);
    void weight_parameter(codegen::slot what, void* p);
    void optional_weight(codegen::slot what, const void* p);
    void optional_f32(codegen::slot what, const float* p);
    void optional_data(codegen::slot what, const void* p);

    void valid_tokens(const std::int32_t* p)
    {
        if (p != nullptr) pointer(codegen::slot::num_valid_tokens, p, 4);
    }

    void must_be_null(codegen::slot what, const void* p, const char* allowed);
    void norm_weight(const void* p);  ///< there iff the spec's norm_weight is set; its gradient may be there then
    void norm_weight_gradient(void* p);
    void layer_input_scale(float* p);    ///< there iff the spec's layer_input_quant is set
    void fn_norm_weight(const void* p);  ///< the same of fn_norm_weight
    void fn_norm_weight_gradient(void* p);

    /// Strides of a [T, n, C] tensor. An output's rows must not overlap.
    void streams(codegen::slot token_slot, codegen::slot stream_slot, const jit::strides& given, bool is_output);
    /// `out` shares no row with `x`, after the pointers and strides of both; or, where it may, it is `x`.
    void out_beside_x(bool may_be_x);
    /// Strides of streams in the workspace.
    void dense_streams()
    {
        number(codegen::slot::dense_token_stride, layer_.spec.n_streams * layer_.spec.hidden_dim);
        number(codegen::slot::dense_stream_stride, layer_.spec.hidden_dim);
    }
    /// Of a projection between kernels of one operator: `rows` rows, and a split for each slice.
    void projection(std::int64_t rows);
    /// What a gradient adds to, and the values that are the same at every launch.
    void gradient(const jit::accumulation& accumulate);
    /// Rows and splits of a projection that are the caller's: 0 rows stand for n*n + 2n.
    void rows(std::int64_t given);
    void rows_of_weight(std::int64_t given);  ///< 1 to 2^24
    void splits(std::int64_t given);
    void number(codegen::slot what, std::int64_t value)
    {
        values_[static_cast<std::size_t>(what)] = static_cast<std::uint64_t>(value);
    }

    bool is_ok() const { return !failure_.has_value(); }
    const jit::failure& why() const { return *failure_; }
    codegen::slot_values& values() { return values_; }

private:
    void pointer(codegen::slot what, const void* p, std::int32_t align);
    void weight_of_norm(codegen::slot what, const void* p, bool is_on, const char* otherwise);
    void weight_gradient_of_norm(codegen::slot what, void* p, bool is_on, const char* otherwise);
    void fail(std::string_view argument, const std::string& value, const std::string& allowed);
    bool rows_overlap(std::int64_t token, std::int64_t stream) const;
    bool out_meets_x() const;
    std::int64_t value_of(codegen::slot what) const
    {
        return static_cast<std::int64_t>(values_[static_cast<std::size_t>(what)]);
    }

    const jit::compiled_layer::impl& layer_;
    jit::operation op_;
    std::int64_t tokens_;
    codegen::slot_values values_;  ///< only those that were set are read
    std::optional<jit::failure> failure_;
};

}  // namespace mhc::runtime
