// tools/common/invoke_gradients.hpp -- what a call by name is made of, and the calls that invoke.cpp leaves to other files.
#pragma once

#include <algorithm>
#include <string_view>

#include "tools/common/invoke.hpp"

namespace mhc::tools {

struct call {
    const jit::compiled_layer& layer;
    const problem& what;
    const pointers& tensors;
    void* workspace;
    jit::strides given;
    void* stream;

    template <class T>
    void set(T*& field, std::string_view name) const
    {
        const auto found = tensors.find(name);
        field = found == tensors.end() ? nullptr : static_cast<T*>(found->second);
    }
    bool is_static(std::string_view name) const
    {
        const auto is_it = [&](const operand& one) { return one.name == name && one.is_static; };
        return std::any_of(what.operands.begin(), what.operands.end(), is_it);
    }
    /// Outputs that have values are added to.
    jit::accumulation additions() const
    {
        jit::accumulation made;
        for (const operand& one : what.operands)
            if (one.is_output && !one.values.empty()) (one.name == "d_x" ? made.d_x : made.parameters) = true;
        return made;
    }
};

jit::result<void> invoke_gradient(const call& c);
jit::result<void> invoke_recompute(const call& c);

}  // namespace mhc::tools
