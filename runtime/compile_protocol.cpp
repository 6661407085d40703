// runtime/compile_protocol.cpp -- encodes and decodes the frames between the library and a compile worker.
#include "runtime/compile_protocol.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <type_traits>

namespace mhc::runtime::protocol {
namespace {

constexpr std::string_view magic = "mhc-jitc";

/// Appends numbers and length-prefixed texts. Both ends run on one machine, so byte order is the machine's.
class writer {
public:
    template <class Number>
    writer& number(Number value)
    {
        static_assert(std::is_arithmetic_v<Number>);
        char raw[sizeof value];
        std::memcpy(raw, &value, sizeof value);
        bytes_.append(raw, sizeof value);
        return *this;
    }
    writer& text(std::string_view value)
    {
        number(static_cast<std::uint64_t>(value.size()));
        bytes_.append(value);
        return *this;
    }
    writer& texts(const std::vector<std::string>& values)
    {
        number(static_cast<std::uint64_t>(values.size()));
        for (const std::string& value : values) text(value);
        return *this;
    }
    std::string take() { return std::move(bytes_); }

private:
    std::string bytes_;
};

/// Reads the same back; after the first thing that does not fit every further read fails.
class reader {
public:
    explicit reader(std::string_view bytes) : rest_(bytes) {}

    template <class Number>
    reader& number(Number* value)
    {
        static_assert(std::is_arithmetic_v<Number>);
        if (!good_ || rest_.size() < sizeof *value) return fail();
        std::memcpy(value, rest_.data(), sizeof *value);
        rest_.remove_prefix(sizeof *value);
        return *this;
    }
    reader& text(std::string* value)
    {
        std::uint64_t size = 0;
        number(&size);
        if (!good_ || size > rest_.size()) return fail();
        value->assign(rest_.substr(0, static_cast<std::size_t>(size)));
        rest_.remove_prefix(static_cast<std::size_t>(size));
        return *this;
    }
    /// How many elements follow; each takes at least `bytes_each`, so a count that cannot be true is refused at once.
    reader& count(std::size_t* value, std::size_t bytes_each)
    {
        std::uint64_t size = 0;
        number(&size);
        if (!good_ || size > rest_.size() / bytes_each) return fail();
        *value = static_cast<std::size_t>(size);
        return *this;
    }
    reader& texts(std::vector<std::string>* values)
    {
        std::size_t size = 0;
        count(&size, sizeof(std::uint64_t));
        if (!good_) return *this;
        values->resize(size);
        for (std::string& value : *values) text(&value);
        return *this;
    }
    reader& flag(bool* value)
    {
        std::uint8_t raw = 0;
        number(&raw);
        if (raw > 1) return fail();
        *value = raw == 1;
        return *this;
    }
    bool good() const { return good_; }
    bool at_end() const { return good_ && rest_.empty(); }

private:
    reader& fail()
    {
        good_ = false;
        return *this;
    }
    std::string_view rest_;
    bool good_ = true;
};

void put(writer& to, const cache::toolchain& compiler)
{
    for (unsigned char byte : compiler.fingerprint) to.number(byte);
    to.text(compiler.descr);
}

void get(reader& from, cache::toolchain* compiler)
{
    for (unsigned char& byte : compiler->fingerprint) from.number(&byte);
    from.text(&compiler->descr);
}

void put(writer& to, const backend_info& info)
{
    to.text(info.name).number(std::uint8_t{info.available}).text(info.version).text(info.why_not);
    put(to, info.identity);
    to.number(static_cast<std::uint64_t>(info.files.size()));
    for (const cache::toolchain_file& file : info.files)
        to.text(file.path).number(file.dev).number(file.ino).number(file.size).number(file.mtime_ns);
    to.texts(info.targets);
}

void get(reader& from, backend_info* info)
{
    from.text(&info->name).flag(&info->available).text(&info->version).text(&info->why_not);
    get(from, &info->identity);
    std::size_t size = 0;
    from.count(&size, 5 * sizeof(std::uint64_t));
    if (!from.good()) return;
    info->files.resize(size);
    for (cache::toolchain_file& file : info->files)
        from.text(&file.path).number(&file.dev).number(&file.ino).number(&file.size).number(&file.mtime_ns);
    from.texts(&info->targets);
}

/// Waits until the socket can be read. False: `timeout_ms` passed, or poll failed.
bool wait_readable(int socket, int timeout_ms)
{
    for (;;) {
        pollfd entry{socket, POLLIN, 0};
        const int count = ::poll(&entry, 1, timeout_ms);
        if (count > 0) return true;
        if (count == 0 || errno != EINTR) return false;
    }
}

/// Fills `size` bytes. 1: done, 0: the other end closed before the first byte, -1: broken off.
int receive_all(int socket, char* into, std::size_t size)
{
    std::size_t have = 0;
    while (have < size) {
        const ssize_t got = ::recv(socket, into + have, size - have, 0);
        if (got > 0) {
            have += static_cast<std::size_t>(got);
        } else if (got == 0) {
            return have == 0 ? 0 : -1;
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 1;
}

}  // namespace

std::string encode_frame(frame_kind kind, std::string_view payload)
{
    writer to;
    to.number(version).number(static_cast<std::uint32_t>(kind)).number(static_cast<std::uint64_t>(payload.size()));
    std::string bytes(magic);
    bytes.reserve(header_bytes + payload.size());
    bytes += to.take();
    bytes += payload;
    return bytes;
}

header_state decode_header(std::string_view bytes, frame_kind* kind, std::size_t* length)
{
    if (bytes.size() < header_bytes || bytes.substr(0, magic.size()) != magic) return header_state::foreign;
    reader from(bytes.substr(magic.size(), header_bytes - magic.size()));
    std::uint32_t sent_version = 0, sent_kind = 0;
    std::uint64_t sent_length = 0;
    from.number(&sent_version).number(&sent_kind).number(&sent_length);
    if (sent_version != version) return header_state::other_version;
    if (sent_length > payload_bytes_max) return header_state::too_long;
    *kind = static_cast<frame_kind>(sent_kind);
    *length = static_cast<std::size_t>(sent_length);
    return header_state::good;
}

std::string encode(const compile_request& request)
{
    const compile_job& job = request.job;
    writer to;
    to.text(job.backend).text(job.target).text(job.name).text(job.source).texts(job.options);
    return to.number(request.memory_max_bytes).take();
}

bool decode(std::string_view payload, compile_request* request)
{
    compile_job& job = request->job;
    reader from(payload);
    from.text(&job.backend).text(&job.target).text(&job.name).text(&job.source).texts(&job.options);
    return from.number(&request->memory_max_bytes).at_end();
}

std::string encode(const compile_reply& reply)
{
    const compile_result& result = reply.result;
    writer to;
    to.number(static_cast<std::uint32_t>(result.status)).text(result.code).text(result.log);
    put(to, result.compiler);
    to.text(result.compiler_name).number(result.wall_ms).number(result.peak_rss_bytes);
    return to.number(reply.rss_bytes).number(std::uint8_t{reply.must_end}).take();
}

bool decode(std::string_view payload, compile_reply* reply)
{
    compile_result& result = reply->result;
    reader from(payload);
    std::uint32_t status = 0;
    from.number(&status).text(&result.code).text(&result.log);
    get(from, &result.compiler);
    from.text(&result.compiler_name).number(&result.wall_ms).number(&result.peak_rss_bytes);
    from.number(&reply->rss_bytes).flag(&reply->must_end);
    if (!from.at_end() || status > static_cast<std::uint32_t>(compile_status::no_compiler)) return false;
    result.status = static_cast<compile_status>(status);
    return true;
}

std::string encode(const disassemble_request& request) { return writer().text(request.target).text(request.code).take(); }

bool decode(std::string_view payload, disassemble_request* request)
{
    return reader(payload).text(&request->target).text(&request->code).at_end();
}

std::string encode(const disassemble_reply& reply) { return writer().text(reply.text).text(reply.why).take(); }

bool decode(std::string_view payload, disassemble_reply* reply)
{
    return reader(payload).text(&reply->text).text(&reply->why).at_end();
}

std::string encode(const std::vector<backend_info>& backends)
{
    writer to;
    to.number(static_cast<std::uint64_t>(backends.size()));
    for (const backend_info& info : backends) put(to, info);
    return to.take();
}

bool decode(std::string_view payload, std::vector<backend_info>* backends)
{
    reader from(payload);
    std::size_t size = 0;
    from.count(&size, 6 * sizeof(std::uint64_t) + sizeof(cache::digest));
    if (!from.good()) return false;
    backends->resize(size);
    for (backend_info& info : *backends) get(from, &info);
    return from.at_end();
}

receive_state receive_frame(int socket, int idle_s, frame* into)
{
    constexpr int day_s = 86400;  // poll's milliseconds are an int
    if (!wait_readable(socket, idle_s < 0 ? -1 : std::min(idle_s, day_s) * 1000)) return receive_state::idle;
    std::string header(header_bytes, '\0');
    const int state = receive_all(socket, header.data(), header.size());
    if (state <= 0) return state == 0 ? receive_state::closed : receive_state::broken;
    std::size_t length = 0;
    if (decode_header(header, &into->kind, &length) != header_state::good) return receive_state::broken;
    into->payload.resize(length);
    if (length == 0) return receive_state::received;
    return receive_all(socket, into->payload.data(), length) == 1 ? receive_state::received : receive_state::broken;
}

bool send_frame(int socket, frame_kind kind, std::string_view payload)
{
    const std::string bytes = encode_frame(kind, payload);
    std::size_t sent = 0;
    while (sent < bytes.size()) {
        const ssize_t put = ::send(socket, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (put >= 0) {
            sent += static_cast<std::size_t>(put);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

}  // namespace mhc::runtime::protocol
