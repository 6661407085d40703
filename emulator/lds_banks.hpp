// emulator/lds_banks.hpp -- the model of LDS bank conflicts.
#pragma once

#include "emulator/integers.hpp"

namespace mhc::emulator {

/// Cycles that conflicts add to one access of a wave: 32 banks of 4 bytes, each of which gives one word a cycle to all lanes
/// that want that word. `addresses` has `lanes` (32 or 64) entries, `active` a bit a lane; `bytes` a lane: 1, 2, 4, 8,
/// 12, 16.
///
/// A wave is served in passes of the lanes that ask for 128 bytes together: 32 lanes up to 4 bytes each, 16 for 8, 8 for 12
/// and 16. The lanes of a pass are neighbours, but for reads of 16 bytes by waves of 64, which take the lanes that AMD's
/// Composable Kernel documentation ("Understanding AMD GPU LDS and Bank Conflicts") names: 0-3 and 20-23, 4-7 and 16-19,
/// 8-11 and 28-31, 12-15 and 24-27, and the same from lane 32. A pass takes as many cycles as the fullest bank has words to
/// give; all but the first are counted.
u32 lds_conflict_cycles(const u32* addresses, u64 active, u32 lanes, u32 bytes, bool is_read);

}  // namespace mhc::emulator
