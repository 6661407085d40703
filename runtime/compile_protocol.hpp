// runtime/compile_protocol.hpp -- what the library and a compile worker say to each other: frames, and their contents.
//
// A frame is a fixed header and a payload. Either side may be of another build, or broken: a decoder answers false for
// every byte sequence it does not know, and never reads or allocates beyond what the frame holds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/compile_service.hpp"

namespace mhc::runtime::protocol {

inline constexpr std::uint32_t version = 1;
inline constexpr std::size_t header_bytes = 24;
inline constexpr std::size_t payload_bytes_max = std::size_t{64} << 20;

enum class frame_kind : std::uint32_t {
    identify = 1,      ///< no payload
    compile = 2,       ///< compile_request
    disassemble = 3,   ///< disassemble_request
    identified = 101,  ///< vector<backend_info>
    compiled = 102,    ///< compile_reply
    disassembled = 103,
    refused = 199,  ///< text: the worker did not understand the request
};

struct frame {
    frame_kind kind = frame_kind::refused;
    std::string payload;
};

struct compile_request {
    compile_job job;
    std::int64_t memory_max_bytes = 0;  ///< address space the job may add; 0: no limit
};

struct compile_reply {
    compile_result result;
    std::int64_t rss_bytes = 0;  ///< of the worker after the job
    bool must_end = false;       ///< the worker cannot take another job
};

struct disassemble_request {
    std::string target, code;
};

struct disassemble_reply {
    std::string text, why;
};

/// Header and payload as one string, ready to be sent.
std::string encode_frame(frame_kind kind, std::string_view payload);

enum class header_state { good, foreign, other_version, too_long };

/// What the first `header_bytes` of a frame say; `kind` and `length` are set only when it is good.
header_state decode_header(std::string_view bytes, frame_kind* kind, std::size_t* length);

std::string encode(const compile_request& request);
std::string encode(const compile_reply& reply);
std::string encode(const disassemble_request& request);
std::string encode(const disassemble_reply& reply);
std::string encode(const std::vector<backend_info>& backends);

bool decode(std::string_view payload, compile_request* request);
bool decode(std::string_view payload, compile_reply* reply);
bool decode(std::string_view payload, disassemble_request* request);
bool decode(std::string_view payload, disassemble_reply* reply);
bool decode(std::string_view payload, std::vector<backend_info>* backends);

enum class receive_state { received, closed, idle, broken };

/// The worker's side, blocking. `idle`: nothing came for `idle_s` seconds (negative: waits for ever).
receive_state receive_frame(int socket, int idle_s, frame* into);
bool send_frame(int socket, frame_kind kind, std::string_view payload);

}  // namespace mhc::runtime::protocol
