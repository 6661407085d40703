// mhc/jit.hpp -- everything: mhc::jit::layer(spec), its operands, engines, and what they are made of.
#pragma once

#include <mhc/jit/args.hpp>
#include <mhc/jit/cache.hpp>
#include <mhc/jit/counters.hpp>
#include <mhc/jit/describe.hpp>
#include <mhc/jit/device.hpp>
#include <mhc/jit/engine.hpp>
#include <mhc/jit/floor.hpp>
#include <mhc/jit/fused_args.hpp>
#include <mhc/jit/fused_gradient_args.hpp>
#include <mhc/jit/gradient_args.hpp>
#include <mhc/jit/layer.hpp>
#include <mhc/jit/prebuild.hpp>
#include <mhc/jit/result.hpp>
#include <mhc/jit/spec.hpp>
#include <mhc/jit/tuning.hpp>
#include <mhc/jit/version.hpp>
#include <mhc/jit/warm_up.hpp>
