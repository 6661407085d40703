// tests/fuzz/protocol_fuzz.cpp -- what the other end of a worker's socket sends: frames, and each kind of contents.
#include "runtime/compile_protocol.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace mhc;
using namespace mhc::runtime::protocol;

/// What is understood is said again in the same bytes.
template <class Message>
void decode_as(std::string_view payload)
{
    Message message;
    if (decode(payload, &message)) fuzz::require(encode(message) == payload);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view bytes = fuzz::text_of(data, size);
    frame_kind kind = frame_kind::refused;
    std::size_t length = 0;
    if (decode_header(bytes, &kind, &length) == header_state::good) {
        fuzz::require(length <= payload_bytes_max);
        const std::string_view payload = bytes.substr(header_bytes, length);
        fuzz::require(payload.size() != length ||
                      encode_frame(kind, payload) == bytes.substr(0, header_bytes + payload.size()));
    }
    const std::string_view payload = bytes.substr(std::min(bytes.size(), header_bytes));
    decode_as<compile_request>(payload);
    decode_as<compile_reply>(payload);
    decode_as<disassemble_request>(payload);
    decode_as<disassemble_reply>(payload);
    decode_as<std::vector<runtime::backend_info>>(payload);
    return 0;
}
