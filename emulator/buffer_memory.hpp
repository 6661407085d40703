// emulator/buffer_memory.hpp -- gfx9's buffers that are memory: loads, stores, and loads that go to LDS.
#pragma once

#include "emulator/wave.hpp"

namespace mhc::emulator {

/// Where a load of less than a word goes in its register.
enum class into : u8 { whole, low_half, high_half };

/// Whether the buffer is memory; else it is scratch, whose descriptor adds the lane's number. `address`: number of the
/// operand with the lanes' part; the descriptor and the wave's part are behind it.
bool is_memory_buffer(const wave& w, const operation& op, u32 address);

/// Raw buffers alone: a descriptor with a stride is a fault. What is outside the buffer reads as 0 and is not written, word
/// by word; what is inside must be inside one allocation. Throws fault.
void load_words_of_buffer(wave& w, const operation& op, u32 words);
void load_part_of_buffer(wave& w, const operation& op, u32 bytes, bool is_signed, into where);
void store_to_buffer(const wave& w, const operation& op, u32 bytes, u32 shift);

/// The LDS byte that a lane's word of a load to LDS goes to: M0, the instruction's offset, then a word a lane.
u32 lds_place_of_load(const wave& w, const operation& op, u32 lane);

}  // namespace mhc::emulator
