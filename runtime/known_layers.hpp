// runtime/known_layers.hpp -- layers by spec, for callers who ask again: no lock, no string, no allocation.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include <mhc/jit/layer.hpp>

namespace mhc::runtime {

/// A spec as plain words: equal specs, equal words.
using packed_spec = std::array<std::uint64_t, 8>;
packed_spec pack(const jit::layer_spec& spec) noexcept;

/// Readers follow one pointer to an immutable open-addressing table; a writer publishes a changed copy. Old tables are kept
/// until the end, because a reader may still be in one: some kilobytes for dozens of layers.
class known_layers {
public:
    known_layers();
    const jit::compiled_layer* find(const packed_spec& spec) const noexcept;
    void insert(const packed_spec& spec, const jit::compiled_layer& layer);

private:
    struct entry {
        packed_spec spec;
        const jit::compiled_layer* layer = nullptr;
    };
    struct table {
        explicit table(std::size_t slots) : entries(slots) {}
        std::vector<entry> entries;  ///< a power of two, at most half full
    };
    static void place(table& in, const entry& e);

    std::atomic<const table*> current_;
    std::mutex writer_;
    std::size_t count_ = 0;
    std::vector<std::unique_ptr<table>> tables_;
    std::vector<std::unique_ptr<const jit::compiled_layer>> layers_;
};

}  // namespace mhc::runtime
