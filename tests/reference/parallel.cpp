// tests/reference/parallel.cpp -- a range over threads, in contiguous pieces.
#include "tests/reference/parallel.hpp"

#include <algorithm>
#include <thread>
#include <vector>

namespace mhc::reference {

void parallel_for(std::int64_t count, std::int64_t cost, const std::function<void(std::int64_t, std::int64_t)>& work)
{
    // Starting a thread takes some 20 microseconds, about this many multiplications.
    constexpr std::int64_t least_work_of_a_thread = 50'000;
    const std::int64_t processors = std::max<std::int64_t>(1, std::thread::hardware_concurrency());
    const std::int64_t worthwhile = count * std::max<std::int64_t>(cost, 1) / least_work_of_a_thread;
    const std::int64_t pieces =
        std::clamp<std::int64_t>(std::min(processors, worthwhile), 1, std::max<std::int64_t>(count, 1));

    std::vector<std::thread> threads;
    for (std::int64_t piece = 1; piece < pieces; ++piece) {
        threads.emplace_back(work, count * piece / pieces, count * (piece + 1) / pieces);
    }
    work(0, count / pieces);
    for (std::thread& thread : threads) thread.join();
}

}  // namespace mhc::reference
