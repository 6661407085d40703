// codegen/plan_parts.hpp -- what plans of kernels are put together from: arguments, bindings, and how work is shared out.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "codegen/plan_kernels.hpp"

namespace mhc::codegen {

using bindings = std::map<std::string, std::string>;

/// The shortest text that reads back as the same float.
std::string real(float v);

/// What `mhc::rows` is made of, with work items of `chunk` channels.
bindings rows_of(const facts& f, std::int64_t chunk);

void add_sinkhorn(const facts& f, bindings& b);
void add_sinkhorn_gradient(const facts& f, bindings& b);
void add_sigmoids(const facts& f, kernel_plan& k, bool has_post);
/// What a kernel needs to know of the streams that it makes as post does.
void add_post(const facts& f, kernel_plan& k);

/// A kernel with its arguments and what every stub needs.
kernel_plan start(const facts& f, std::string family, std::vector<argument> args, std::int32_t block);
/// Work-items of a group.
void set_block(kernel_plan& k, std::int32_t block);
inline void add(kernel_plan& k, bindings more) { k.bindings.merge(more); }
/// Gives the kernel its name for people, a function of its key: `type` is that of its rows where they are not data.
void finish(const facts& f, kernel_plan& k, bool has_channels, bool has_streams = true,
            std::optional<jit::dtype> type = std::nullopt);

/// A work item is one token and one chunk of channels: post, apply_mix, expand.
kernel_plan plan_chunks(const facts& f, std::string family, std::vector<argument> args);
/// A work-group has a whole token, because it needs a sum over its channels: rmsnorm, apply_mix_norm, layer.
kernel_plan plan_tokens(const facts& f, std::string family, std::vector<argument> args);
/// LDS of an NVIDIA multiprocessor that kernels with coming tokens in it share out.
inline constexpr std::int64_t lds_of_coming = 200 * 1024;
/// Floats of a matrix and its lines: `balance` of templates/device/sinkhorn.hpp.
inline std::int64_t balance_floats(const facts& f) { return f.n * f.n + 4 * f.n; }
/// Lanes of a GPU's wave that share a matrix, as lanes_of in templates/device/sinkhorn.hpp.
std::int64_t matrix_lanes(const facts& f);
/// A group of lanes has a token's n x n matrix, in `floats` floats of LDS: sinkhorn and the coefficients. A work-group of
/// them has `matrix_tokens`.
std::int64_t matrix_tokens(const facts& f);
kernel_plan plan_matrices(const facts& f, std::string family, std::vector<argument> args, std::int64_t floats);

}  // namespace mhc::codegen
