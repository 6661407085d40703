// emulator/checks.hpp -- what hardware does not tell: registers, LDS and scratch memory that nothing wrote, races in LDS,
// waves at different barriers. README.md says what each check means.
#pragma once

#include <string>
#include <vector>

#include "emulator/effects.hpp"
#include "emulator/lds_shadow.hpp"
#include "emulator/shadow.hpp"
#include "emulator/wave.hpp"

namespace mhc::emulator {

/// What is checked beside bounds, of one work-group at a time.
class group_checks {
public:
    /// `all`: of the operations of the group's program, in their order. Both outlive this.
    group_checks(const work_group& group, const std::vector<effects>& all, u32 vectors, u32 lanes, u32 lds_bytes,
                 u32 scratch_bytes);

    /// A work-group begins; then each of its waves, with registers set: `given` scalars hold something.
    void begin();
    void begin(const wave& w, const scalar_set& given);

    /// Executes `op`, the group's operation `number`. Throws fault.
    void run(wave& w, const operation& op, u32 number);

    // Barriers, before anything else is done about them. Throw fault.
    void signal(const wave& w);
    void wait(const wave& w);

private:
    struct wave_state {
        wave_shadow registers;
        std::vector<u8> scratch;  ///< undefined bits, laid out as the memory is
        barrier_clock clock;
        bool has_signalled = false;  ///< and not waited
    };
    struct lane_access;

    void compute(wave& w, const operation& op, const effects& e);
    void compute_exactly(wave& w, const operation& op, const effects& e);
    void branch(wave& w, const operation& op, const effects& e);
    void access(wave& w, const operation& op, const effects& e, u32 number);
    void access_memory(wave& w, const operation& op, const effects& e);
    void load_to_lds(wave& w, const operation& op, const effects& e, u32 number);
    void access_lds(wave& w, const operation& op, const effects& e, u32 number);
    void access_scratch(wave& w, const operation& op, const effects& e);
    void require_address(const wave& w, const operation& op, const effects& e) const;
    void require_data(const wave& w, const operation& op, const effects& e) const;
    void require_scalars(const wave& w, const scalar_set& of, const char* what) const;
    u32 data_bits(const wave& w, const operation& op, const effects& e, u32 lane, u32 word) const;
    void give_result(const wave& w, const operation& op, const effects& e, const std::vector<lane_access>& read);
    void touch_lds(const wave& w, u32 lane, u32 byte, const effects& e, u32 number);
    std::string place_of(u32 number) const;

    const work_group& group_;
    const std::vector<effects>& effects_;
    std::vector<wave_state> waves_;
    lds_shadow lds_;
    u32 clock_begin_ = 1;
    struct {
        u32 phase = ~0U, wave = 0, operation = 0;
    } first_signal_;  ///< of the barrier's present phase
};

/// Each wave that has not ended and where it is: for messages about barriers.
std::string waves_and_places(const work_group& group);

}  // namespace mhc::emulator
