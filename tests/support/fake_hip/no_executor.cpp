// tests/support/fake_hip/no_executor.cpp -- the fake records launches and executes none.
#include "tests/support/fake_hip/state.hpp"

mhc::runtime::gpu_driver* mhc::fake_hip::executor() { return nullptr; }
