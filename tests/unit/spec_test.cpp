// tests/unit/spec_test.cpp -- specs: names, presets, what is refused and how.
#include <doctest/doctest.h>

#include <clocale>
#include <cmath>
#include <limits>
#include <string>

#include <mhc/jit/describe.hpp>
#include <mhc/jit/spec.hpp>

using namespace mhc::jit;

namespace {

layer_spec good()
{
    layer_spec s;
    s.hidden_dim = 4096;
    return s;
}

/// The message names the field and the value.
void check_refused(const layer_spec& s, const std::string& field, const std::string& value)
{
    CAPTURE(field);
    const auto outcome = validate(s);
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code == errc::bad_spec);
    CHECK(outcome.error().message.starts_with(field + " = " + value));
    CHECK(outcome.error().message.find("allowed is ") != std::string::npos);
    CHECK(outcome.error().message.find('\n') == std::string::npos);
}

}  // namespace

TEST_CASE("spec: a spec that cannot be is refused naming the field, its value and what is allowed")
{
    CHECK(validate(good()));
    const auto with = [](auto change) {
        layer_spec s = good();
        change(s);
        return s;
    };
    check_refused(with([](auto& s) { s.hidden_dim = 0; }), "hidden_dim", "0");
    check_refused(with([](auto& s) { s.hidden_dim = -5; }), "hidden_dim", "-5");
    check_refused(with([](auto& s) { s.hidden_dim = (1 << 24) + 1; }), "hidden_dim", "16777217");
    check_refused(with([](auto& s) { s.n_streams = 0; }), "n_streams", "0");
    check_refused(with([](auto& s) { s.n_streams = 33; }), "n_streams", "33");
    check_refused(with([](auto& s) { s.options.rms_eps = -1e-6F; }), "rms_eps", "-1e-06");
    check_refused(with([](auto& s) { s.options.sinkhorn_eps = -1; }), "sinkhorn_eps", "-1");
    check_refused(with([](auto& s) { s.options.norm_eps = -1.0F; }), "norm_eps", "-1");
    check_refused(with([](auto& s) { s.options.pre_eps = std::numeric_limits<float>::infinity(); }), "pre_eps", "inf");
    check_refused(with([](auto& s) { s.options.post_mult = std::nanf(""); }), "post_mult", "nan");
    check_refused(with([](auto& s) { s.options.sinkhorn_iters = -1; }), "sinkhorn_iters", "-1");
    check_refused(with([](auto& s) { s.alignment_bytes = 8; }), "alignment_bytes", "8");
    check_refused(with([](auto& s) { s.alignment_bytes = 2, s.dtype = dtype::fp32; }), "alignment_bytes", "2");
    check_refused(with([](auto& s) { s.wanted = {}; }), "wanted", "{}");
    check_refused(with([](auto& s) { s.dtype = static_cast<dtype>(7); }), "dtype", "7");
}

TEST_CASE("spec: options that contradict are refused")
{
    layer_spec s = good();
    s.options.start = sinkhorn_start::softmax;
    s.options.order = sinkhorn_order::col_row;
    check_refused(s, "sinkhorn_order", "col_row");

    s = good();
    s.options.gradient = sinkhorn_gradient::implicit;
    CHECK(validate(s));
    for (const sinkhorn_eps_mode mode : {sinkhorn_eps_mode::add, sinkhorn_eps_mode::add_both}) {
        s.options.eps_mode = mode;
        check_refused(s, "sinkhorn_gradient", "implicit");
    }
    s.options.gradient = static_cast<sinkhorn_gradient>(2);
    check_refused(s, "sinkhorn_gradient", "2");

    s = good();
    s.options.reference_rounding = true;
    check_refused(s, "reference_rounding", "on");
    s.wanted = {operation::static_layer_fwd};
    CHECK(validate(s));

    s = good();
    s.norm_weight = true;
    s.wanted = {operation::post_fwd};
    check_refused(s, "norm_weight", "on");
    for (const operation op : {operation::pre_fwd, operation::post_pre_fwd, operation::head_fwd, operation::pre_big_fuse,
                               operation::pre_bwd, operation::post_pre_bwd, operation::head_bwd,
                               operation::broadcast_pre_fwd, operation::delayed_pre_fwd, operation::post_head_fwd}) {
        s.wanted = {op};
        CHECK(validate(s));
    }
}

TEST_CASE("spec: the order of fn and the weight of its norm are for operators with fn")
{
    layer_spec s = good();
    s.wanted = {operation::post_fwd, operation::dynamic_layer_fwd};
    s.fn_norm_weight = true;
    check_refused(s, "fn_norm_weight", "on");
    s.fn_norm_weight = false;
    s.fn_order = fn_order::phi;
    check_refused(s, "fn_order", "phi");
    s.fn_order = static_cast<fn_order>(2);
    check_refused(s, "fn_order", "2");
    for (int i = 0; i < operation_count; ++i) {
        const auto op = static_cast<operation>(i);
        s.wanted = {op};
        s.fn_norm_weight = true;
        s.fn_order = fn_order::phi;
        CHECK(validate(s).has_value() == operations_with_fn.contains(op));
        const std::vector<tensor_description> rows = tensors_of(op), columns = tensors_of(op, s);
        const auto is_fn = [](const auto& tensor) { return tensor.name == "fn"; };
        const auto found = std::find_if(columns.begin(), columns.end(), is_fn);
        CHECK((found != columns.end()) == operations_with_fn.contains(op));
        if (found == columns.end()) continue;
        CHECK(found->shape.starts_with("[n*C,"));
        CHECK(std::find_if(rows.begin(), rows.end(), is_fn)->shape.ends_with(",n*C]"));
    }
    CHECK(set_field(s, "fn_order", "fn"));
    CHECK(s.fn_order == fn_order::fn);
    CHECK_FALSE(set_field(s, "fn_order", "rows"));
}

TEST_CASE("spec: layer_input in fp8 is for operators that make one of their own, and their gradients")
{
    layer_spec s = good();
    s.hidden_dim = 300;
    s.layer_input_quant = static_cast<layer_input_quant>(3);
    check_refused(s, "layer_input_quant", "3");
    CHECK(set_field(s, "layer_input_quant", "fp8_block128"));
    CHECK(s.layer_input_quant == layer_input_quant::fp8_block128);
    CHECK_FALSE(set_field(s, "layer_input_quant", "fp8"));
    for (int i = 0; i < operation_count; ++i) {
        const auto op = static_cast<operation>(i);
        CAPTURE(std::string(to_string(op)));
        s.wanted = {op};
        const bool takes = operations_with_layer_input_quant.contains(op);
        CHECK(validate(s).has_value() == takes);
        if (!takes) check_refused(s, "layer_input_quant", "fp8_block128");
        const bool is_gradient = operator_of_gradient(op).has_value();
        std::string scale;
        for (const tensor_description& tensor : tensors_of(op, s)) {
            if (tensor.name == "layer_input_scale") scale = tensor.shape;
            if (tensor.name == "layer_input") CHECK((tensor.type == "fp8") == takes);
            CHECK((tensor.type == "fp8") <= (tensor.name == "layer_input"));
        }
        CHECK(scale == (takes && !is_gradient ? "[T,3]" : ""));
    }
}

TEST_CASE("spec: presets are the public implementations' options")
{
    const layer_options paper = options_of(preset::paper), cu = options_of(preset::mhc_cu),
                        ds = options_of(preset::deepseek), liger = options_of(preset::liger),
                        triton = options_of(preset::aiter_triton);
    CHECK(paper.order == sinkhorn_order::col_row);
    CHECK(paper.start == sinkhorn_start::exp);
    CHECK(paper.rms_eps == 1e-6F);
    CHECK(cu.eps_mode == sinkhorn_eps_mode::thresh);
    CHECK(cu.sinkhorn_eps == 1e-5F);
    CHECK(cu.rms_eps == 1e-5F);
    CHECK(cu.order == sinkhorn_order::row_col);
    CHECK(ds.layout == mix_layout::src_dst);
    CHECK(ds.pre_eps == 1e-6F);
    CHECK(ds.post_mult == 1.0F);
    CHECK(ds.eps_mode == sinkhorn_eps_mode::add_both);
    CHECK(liger.layout == mix_layout::out_in);
    CHECK(liger.pre_eps == 0.0F);
    CHECK(liger.post_mult == 2.0F);
    CHECK(triton.start == sinkhorn_start::log);
    CHECK(triton.layout == mix_layout::src_dst);
    for (const layer_options& o : {paper, cu, ds, liger, triton}) CHECK(o.sinkhorn_iters == 20);
}

TEST_CASE("spec: fields are set by name, and a bad value leaves the field as it was")
{
    layer_spec s = good();
    CHECK(set_field(s, "preset", "deepseek"));
    CHECK(s.options.layout == mix_layout::src_dst);
    CHECK(set_field(s, "sinkhorn_iters", "7"));
    CHECK(s.options.sinkhorn_iters == 7);
    CHECK(set_field(s, "norm_eps", "1e-3"));
    CHECK(s.options.norm_eps == 1e-3F);
    CHECK(set_field(s, "reference_rounding", "on"));
    CHECK(s.options.reference_rounding);
    for (const char* value : {"", "7.5", "x", " 8", "8 ", "+8", "0x8", "99999999999999999999"}) {
        CHECK_FALSE(set_field(s, "sinkhorn_iters", value));
        CHECK(s.options.sinkhorn_iters == 7);
    }
    for (const char* value : {"", "x", " 0.5", "0.5 ", "+0.5", "0,5", "0.5f", "1e99"}) {
        CHECK_FALSE(set_field(s, "norm_eps", value));
        CHECK(s.options.norm_eps == 1e-3F);
    }
    const auto unknown = set_field(s, "sinkhorn_itres", "7");
    REQUIRE_FALSE(unknown);
    CHECK(unknown.error().message.find("sinkhorn_iters") != std::string::npos);
    const auto value = set_field(s, "layout", "row_major");
    REQUIRE_FALSE(value);
    CHECK(value.error().message == "layout = 'row_major' is not known; allowed: out_in, src_dst");
}

TEST_CASE("spec: numbers are read the same in every locale")
{
    const char* const old = std::setlocale(LC_NUMERIC, nullptr);
    const std::string before = old == nullptr ? "C" : old;
    bool has_comma = false;
    for (const char* name : {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR"})
        has_comma = has_comma || std::setlocale(LC_NUMERIC, name) != nullptr;
    if (!has_comma) MESSAGE("this machine has no locale with a decimal comma: only C is tested");
    layer_spec s = good();
    CHECK(set_field(s, "norm_eps", "0.25"));
    CHECK(s.options.norm_eps == 0.25F);
    CHECK_FALSE(set_field(s, "norm_eps", "0,25"));
    std::setlocale(LC_NUMERIC, before.c_str());
}

TEST_CASE("spec: a row's alignment is what the base and the row length share")
{
    layer_spec s = good();
    CHECK(row_alignment_bytes(s) == 16);
    s.hidden_dim = 127;
    CHECK(row_alignment_bytes(s) == 2);
    s.hidden_dim = 6;
    CHECK(row_alignment_bytes(s) == 4);
    s.dtype = dtype::fp32;
    CHECK(row_alignment_bytes(s) == 8);
    s.hidden_dim = 4096;
    s.alignment_bytes = 4;
    CHECK(row_alignment_bytes(s) == 4);
}

TEST_CASE("spec: every operator has a name that reads back, and tensors")
{
    for (int i = 0; i < operation_count; ++i) {
        const auto op = static_cast<operation>(i);
        CHECK(parse_operation(to_string(op)).value() == op);
        CHECK(tensors_of(op).size() >= 2);
    }
    CHECK_FALSE(parse_operation("pre"));
}

TEST_CASE("spec: a gradient takes its operator's inputs and the gradients of its outputs, and gives those of its inputs")
{
    for (int i = 0; i < operation_count; ++i) {
        const auto of = operator_of_gradient(static_cast<operation>(i));
        CHECK(of.has_value() == std::string(to_string(static_cast<operation>(i))).ends_with("_bwd"));
        if (!of) continue;
        CAPTURE(std::string(to_string(*of)));
        std::vector<std::string> expected, found;
        const std::vector<tensor_description> forward = tensors_of(*of);
        for (const bool is_output : {false, true})
            for (const auto& tensor : forward)
                if (tensor.is_output == is_output) expected.push_back((is_output ? "in d_" : "in ") + tensor.name);
        for (const auto& tensor : forward)
            if (!tensor.is_output && tensor.name != "num_valid_tokens") expected.push_back("out d_" + tensor.name);
        for (const auto& tensor : tensors_of(static_cast<operation>(i)))
            found.push_back((tensor.is_output ? "out " : "in ") + tensor.name);
        CHECK(found == expected);
    }
    CHECK(operator_of_gradient(operation::post_pre_bwd) == operation::post_pre_fwd);
}
