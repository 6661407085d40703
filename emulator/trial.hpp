// emulator/trial.hpp -- how undefined bits spread through an instruction: by trying.
//
// An instruction with undefined bits among its sources runs several times with other values in these bits. The result's bits
// that differ are undefined, the others do not depend on them. So `and` with a known 0, a lane move, a matrix product or an
// instruction added tomorrow spread exactly what they should, and there is no second description of what they compute.
//
// Comparisons are the exception, because equality with something nearly never holds by chance: a bit of their result is
// undefined where any bit that is compared is.
#pragma once

#include "emulator/shadow.hpp"

namespace mhc::emulator {

/// Runs `op` and finds what of its results is undefined. Throws fault where exec would be.
void run_by_trial(wave& w, const operation& op, const effects& e, wave_shadow& shadow);

}  // namespace mhc::emulator
