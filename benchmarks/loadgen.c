/* Load on a Sojourn server, or on a peer that answers the same frames, from one thread over epoll.
 *
 * Closed loop: every connection keeps `outstanding` messages unanswered and sends the next when an answer comes.
 * Open loop:   message k is due at start + k / rate, whatever the server does. Its latency counts from that intended
 *              instant, so a server that stalls is charged for everything that had to wait behind the stall.
 *
 * The frames are those of docs/protocol.md: 4 bytes of length, big-endian, then one msgpack map, or with --websocket
 * one masked binary WebSocket message for each. Of an answer only
 * `type`, `reply_to` and, where it matters, `session_id` or `code` are read. The slot that a request occupies is part
 * of its `id` together with a generation, so answers may come in any order and a second answer is noticed.
 *
 * The sessions are made first, or with --ids taken from a file, one id a line, or with --create-only made and left.
 *
 * On stdout: a line `measuring` when the measured window opens, `measured` when it ends, then one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_BYTES = 256 << 10,
    MAX_FRAME_BYTES = 1 << 20, /* the server's own bound, max_reply_bytes */
    MAX_HEAD_BYTES = 14,       /* before a frame, of either transport */
    MAX_SLOTS = 1 << 16,       /* the low half of an id */
    MAX_CODES = 16,
    CREATE_WINDOW = 64, /* session:create frames unanswered per connection while setting up */
    SUB_BITS = 7,       /* 128 buckets per power of two: 0.8 % wide */
    BUCKETS = (64 - SUB_BITS + 1) << SUB_BITS,
};

struct options {
    const char *host;
    int port, connections, sessions, outstanding, session_id_bytes, text_bytes;
    double seconds, warmup, measure_at, rate, setup_seconds, drain_seconds;
    bool open_loop, echo, create_only, no_attach, websocket;
    const char *ids;
};

struct slot {
    int64_t begun; /* ns on the monotonic clock: sent (closed) or intended (open) */
    uint16_t generation;
    bool taken;
};

struct connection {
    int fd;
    uint32_t index;
    uint8_t *in; /* the beginning of a frame whose rest has not come yet */
    size_t in_bytes, in_room;
    uint8_t *out;
    size_t out_from, out_to, out_room;
    struct slot *slots;
    uint16_t *free_slots;
    uint32_t free_count;
    char (*session_ids)[64]; /* msgpack string with its head; the length is in session_bytes */
    uint8_t *session_bytes;
    uint32_t asked, created; /* session:create frames sent, answered */
    uint32_t next_session;
    uint64_t due, sent; /* open loop: messages whose instant has come, messages written */
    bool wants_write, dirty, ended;
};

enum phase { SETUP, WARMUP, WINDOW, DRAIN };

static struct options opt = {
    .host = "127.0.0.1", .connections = 50, .sessions = 1, .outstanding = 0, .session_id_bytes = 30,
    .text_bytes = 32, .seconds = 4, .warmup = 1, .rate = 1000, .setup_seconds = 120, .drain_seconds = 10,
};
static struct connection *connections;
static struct connection **dirty;
static uint32_t dirty_count;
static int poller;
static enum phase phase = SETUP;
static int64_t start_ns, window_from_ns, window_to_ns;
static uint64_t cursor; /* open loop: the next message of all connections together */
static uint64_t message_seed;
static uint64_t sent, answered, measured, errors, pushes, strays, disconnects, created;
static uint64_t histogram[BUCKETS], recorded;
static int64_t latency_max, latency_sum, late_max;
static size_t frame_bytes;
static struct { char code[40]; uint64_t count; } codes[MAX_CODES];
static char first_error[240];
static char text[1 << 16];

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("loadgen: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void *room(void *block, size_t bytes) {
    void *grown = realloc(block, bytes);
    if (!grown) die("out of memory");
    return grown;
}

static int64_t monotonic(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* -- latencies ------------------------------------------------------------------------------------------------ */

static uint32_t bucket_of(uint64_t ns) {
    if (ns < 1u << SUB_BITS) return ns;
    uint32_t shift = 63 - __builtin_clzll(ns) - SUB_BITS;
    return ((shift + 1) << SUB_BITS) + ((ns >> shift) & ((1u << SUB_BITS) - 1));
}

static uint64_t bucket_top(uint32_t bucket) {
    if (bucket < 1u << SUB_BITS) return bucket;
    uint32_t shift = (bucket >> SUB_BITS) - 1;
    uint64_t low = (uint64_t)((1u << SUB_BITS) + (bucket & ((1u << SUB_BITS) - 1))) << shift;
    return low + (1ULL << shift) - 1;
}

static void record(int64_t ns) {
    if (ns < 0) ns = 0;
    histogram[bucket_of(ns)]++;
    recorded++;
    latency_sum += ns;
    if (ns > latency_max) latency_max = ns;
}

static double percentile_us(double share) {
    uint64_t wanted = (uint64_t)(share * recorded + 0.999999), seen = 0;
    if (wanted < 1) wanted = 1;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if (seen >= wanted && histogram[i]) {
            uint64_t top = bucket_top(i);
            return (top < (uint64_t)latency_max ? top : (uint64_t)latency_max) / 1e3;
        }
    }
    return 0;
}

/* -- reading msgpack ------------------------------------------------------------------------------------------ */

struct reader { const uint8_t *at, *end; };

static uint64_t big_endian(struct reader *r, int bytes) {
    uint64_t value = 0;
    if (r->end - r->at < bytes) die("the peer sent a msgpack value that is cut off");
    while (bytes--) value = value << 8 | *r->at++;
    return value;
}

static uint8_t head(struct reader *r) { return big_endian(r, 1); }

static void skip_bytes(struct reader *r, uint64_t bytes) {
    if ((uint64_t)(r->end - r->at) < bytes) die("the peer sent a msgpack value that is cut off");
    r->at += bytes;
}

static void skip(struct reader *r) {
    uint64_t left = 1; /* values still to pass; a container only adds to it */
    while (left--) {
        uint8_t h = head(r);
        if (h < 0x80 || h >= 0xe0 || h == 0xc0 || h == 0xc2 || h == 0xc3) continue;
        if (h < 0x90) left += 2 * (h & 15);
        else if (h < 0xa0) left += h & 15;
        else if (h < 0xc0) skip_bytes(r, h & 31);
        else if (h >= 0xcc && h <= 0xcf) skip_bytes(r, 1u << (h - 0xcc));
        else if (h >= 0xd0 && h <= 0xd3) skip_bytes(r, 1u << (h - 0xd0));
        else if (h == 0xca || h == 0xcb) skip_bytes(r, h == 0xca ? 4 : 8);
        else if (h >= 0xd9 && h <= 0xdb) skip_bytes(r, big_endian(r, 1 << (h - 0xd9)));
        else if (h >= 0xc4 && h <= 0xc6) skip_bytes(r, big_endian(r, 1 << (h - 0xc4)));
        else if (h == 0xdc || h == 0xdd) left += big_endian(r, h == 0xdc ? 2 : 4);
        else if (h == 0xde || h == 0xdf) left += 2 * big_endian(r, h == 0xde ? 2 : 4);
        else die("the peer sent the msgpack head 0x%02x, which no frame holds", h);
    }
}

static bool is_string(uint8_t h) { return (h & 0xe0) == 0xa0 || (h >= 0xd9 && h <= 0xdb); }

static const uint8_t *string(struct reader *r, size_t *bytes) {
    uint8_t h = head(r);
    if (!is_string(h)) die("the peer sent the msgpack head 0x%02x where a string belongs", h);
    *bytes = h < 0xd9 ? h & 31u : big_endian(r, 1 << (h - 0xd9));
    const uint8_t *at = r->at;
    skip_bytes(r, *bytes);
    return at;
}

static bool is(const uint8_t *at, size_t bytes, const char *name) {
    return strlen(name) == bytes && memcmp(at, name, bytes) == 0;
}

struct answer {
    const uint8_t *type, *session_id, *code, *message;
    size_t type_bytes, session_id_bytes, code_bytes, message_bytes;
    int64_t reply_to; /* -1: none */
};

static void read_answer(const uint8_t *at, size_t bytes, struct answer *a) {
    struct reader r = {at, at + bytes};
    memset(a, 0, sizeof *a);
    a->reply_to = -1;
    uint8_t h = head(&r);
    uint64_t pairs = 0;
    if ((h & 0xf0) == 0x80) pairs = h & 15;
    else if (h == 0xde || h == 0xdf) pairs = big_endian(&r, h == 0xde ? 2 : 4);
    else die("the peer sent a frame that is no map");
    while (pairs--) {
        size_t key_bytes;
        const uint8_t *key = string(&r, &key_bytes);
        /* an echo carries our own `id` where an answer carries `reply_to` */
        if (is(key, key_bytes, "reply_to") || (opt.echo && is(key, key_bytes, "id"))) {
            h = head(&r);
            if (h < 0x80) a->reply_to = h;
            else if (h >= 0xcc && h <= 0xcf) a->reply_to = big_endian(&r, 1 << (h - 0xcc));
            else die("the peer answered with a `reply_to` that was never sent");
        } else if (r.at < r.end && !is_string(*r.at)) skip(&r);
        else if (is(key, key_bytes, "type")) a->type = string(&r, &a->type_bytes);
        else if (is(key, key_bytes, "session_id")) a->session_id = string(&r, &a->session_id_bytes);
        else if (is(key, key_bytes, "code")) a->code = string(&r, &a->code_bytes);
        else if (is(key, key_bytes, "message")) a->message = string(&r, &a->message_bytes);
        else skip(&r);
    }
    if (!a->type) die("the peer sent a frame without `type`");
}

/* -- writing frames ------------------------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *at, const void *bytes, size_t count) {
    memcpy(at, bytes, count);
    return at + count;
}
#define PUT(at, literal) put(at, literal, sizeof literal - 1)

static uint8_t *put_u32(uint8_t *at, uint32_t value) {
    uint32_t swapped = htonl(value);
    return put(at, &swapped, 4);
}

static size_t put_string_head(uint8_t *at, size_t bytes) {
    if (bytes < 32) {
        at[0] = 0xa0 | bytes;
        return 1;
    }
    if (bytes < 256) {
        at[0] = 0xd9, at[1] = bytes;
        return 2;
    }
    at[0] = 0xda, at[1] = bytes >> 8, at[2] = bytes;
    return 3;
}

static uint8_t *out_room(struct connection *c, size_t bytes) {
    if (c->out_from == c->out_to) c->out_from = c->out_to = 0;
    if (c->out_to + bytes > c->out_room) c->out = room(c->out, c->out_room = 2 * (c->out_to + bytes));
    return c->out + c->out_to;
}

/* A client's WebSocket frames are masked, by RFC 6455, with a mask of their own each. */
static uint8_t *finish_message(uint8_t *from, uint8_t *to) {
    size_t bytes = to - from - 8;
    uint8_t *body = from + 8;
    uint32_t mask = message_seed ^ message_seed >> 32;
    if (bytes < 126) {
        memmove(from + 6, body, bytes);
        body = from + 6;
        from[1] = 0x80 | bytes;
    } else {
        from[1] = 0x80 | 126, from[2] = bytes >> 8, from[3] = bytes;
    }
    from[0] = 0x82;
    memcpy(body - 4, &mask, 4);
    size_t i = 0;
    for (uint32_t four; i + 4 <= bytes; i += 4) memcpy(&four, body + i, 4), four ^= mask, memcpy(body + i, &four, 4);
    for (; i < bytes; i++) body[i] ^= ((uint8_t *)&mask)[i & 3];
    return body + bytes;
}

/* The body begins behind these bytes of `from`. */
static size_t head_room(void) { return opt.websocket ? 8 : 4; }

static void finish_frame(struct connection *c, uint8_t *from, uint8_t *to) {
    if (opt.websocket) to = finish_message(from, to);
    else put_u32(from, to - from - 4);
    c->out_to += to - from;
    if (!c->dirty) {
        c->dirty = true;
        dirty[dirty_count++] = c;
    }
}

static uint32_t take_slot(struct connection *c, int64_t begun) {
    uint16_t index = c->free_slots[--c->free_count];
    struct slot *slot = &c->slots[index];
    slot->begun = begun;
    slot->taken = true;
    return (uint32_t)++slot->generation << 16 | index;
}

static void send_create(struct connection *c, int64_t now) {
    uint8_t *from = out_room(c, 64), *at = from + head_room();
    if (opt.no_attach) at = PUT(at, "\x84\xa6" "attach\xc2");
    else at = PUT(at, "\x83");
    at = PUT(at, "\xa4type\xaesession:create\xa7" "channel\xa3tcp\xa2id\xce");
    at = put_u32(at, take_slot(c, now));
    c->asked++;
    finish_frame(c, from, at);
}

/* splitmix64 is a bijection: ids look random, as a client's would, and none comes twice. */
static uint8_t *put_message_id(uint8_t *at) {
    static const char digits[] = "0123456789abcdef";
    uint64_t z = message_seed += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    z ^= z >> 31;
    for (int i = 0; i < 16; i++, z >>= 4) at[i] = digits[z & 15];
    return at + 16;
}

static void send_message(struct connection *c, int64_t begun) {
    uint8_t *from = out_room(c, 160 + opt.text_bytes), *at = from + head_room();
    uint32_t session = c->next_session;
    if (++c->next_session == (uint32_t)opt.sessions) c->next_session = 0;
    at = PUT(at, "\x85\xa4type\xacmessage:send\xa2id\xce");
    at = put_u32(at, take_slot(c, begun));
    at = PUT(at, "\xaasession_id");
    at = put(at, c->session_ids[session], c->session_bytes[session]);
    at = PUT(at, "\xaamessage_id\xb0");
    at = put_message_id(at);
    at = PUT(at, "\xa4text");
    at += put_string_head(at, opt.text_bytes);
    at = put(at, text, opt.text_bytes);
    frame_bytes = at - from - head_room() + 4;
    sent++;
    c->sent++;
    finish_frame(c, from, at);
}

/* -- connections ---------------------------------------------------------------------------------------------- */

static void watch(struct connection *c, bool for_write) {
    struct epoll_event event = {.events = EPOLLIN | (for_write ? EPOLLOUT : 0), .data.ptr = c};
    c->wants_write = for_write;
    if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event)) die("epoll_ctl: %s", strerror(errno));
}

static void end_connection(struct connection *c) {
    if (c->ended) return;
    if (phase == SETUP) die("the server closed a connection while the sessions were being made%s%s",
                            first_error[0] ? ": " : "", first_error);
    c->ended = true;
    disconnects++;
    close(c->fd);
}

static void flush(struct connection *c) {
    while (!c->ended && c->out_from < c->out_to) {
        ssize_t count = send(c->fd, c->out + c->out_from, c->out_to - c->out_from, MSG_NOSIGNAL);
        if (count >= 0) c->out_from += count;
        else if (errno == EAGAIN) {
            if (!c->wants_write) watch(c, true);
            return;
        } else if (errno != EINTR) end_connection(c);
    }
    if (c->wants_write && !c->ended) watch(c, false);
}

static void flush_dirty(void) {
    for (uint32_t i = 0; i < dirty_count; i++) {
        dirty[i]->dirty = false;
        flush(dirty[i]);
    }
    dirty_count = 0;
}

static void store_session_id(struct connection *c, const uint8_t *id, size_t bytes) {
    if (!id || bytes > 62) die("a session_id of %zu bytes cannot be used here (at most 62)", bytes);
    uint8_t *at = (uint8_t *)c->session_ids[c->created];
    size_t head_bytes = put_string_head(at, bytes);
    memcpy(at + head_bytes, id, bytes);
    c->session_bytes[c->created++] = head_bytes + bytes;
    created++;
}

static void count_error(const struct answer *a) {
    errors++;
    if (!first_error[0])
        snprintf(first_error, sizeof first_error, "%.*s: %.*s", (int)a->code_bytes, a->code, (int)a->message_bytes,
                 a->message ? a->message : (const uint8_t *)"");
    for (int i = 0; i < MAX_CODES; i++) {
        if (codes[i].count && !is(a->code, a->code_bytes, codes[i].code)) continue;
        snprintf(codes[i].code, sizeof codes[i].code, "%.*s", (int)a->code_bytes, a->code);
        codes[i].count++;
        return;
    }
}

static int64_t intended(uint64_t message) { return start_ns + (int64_t)(message * (1e9 / opt.rate)); }

static void send_due(struct connection *c) {
    while (c->sent < c->due && c->free_count && !c->ended) {
        send_message(c, intended(c->sent * opt.connections + c->index));
    }
}

static void on_answer(struct connection *c, const uint8_t *body, size_t bytes, int64_t now) {
    struct answer a;
    read_answer(body, bytes, &a);
    if (a.reply_to < 0) {
        if (is(a.type, a.type_bytes, "error") || is(a.type, a.type_bytes, "goodbye")) count_error(&a);
        else pushes++;
        return;
    }
    uint32_t index = a.reply_to & (MAX_SLOTS - 1);
    if (index >= (uint32_t)opt.outstanding || a.reply_to >> 32 || !c->slots[index].taken ||
        c->slots[index].generation != a.reply_to >> 16) {
        strays++;
        return;
    }
    struct slot *slot = &c->slots[index];
    slot->taken = false;
    c->free_slots[c->free_count++] = index;
    if (is(a.type, a.type_bytes, "error")) {
        count_error(&a);
        if (phase == SETUP) die("session:create was refused: %s", first_error);
        answered++;
    } else if (phase == SETUP && opt.echo) {
        answered++;
        return;
    } else if (phase == SETUP) {
        if (!is(a.type, a.type_bytes, "session:created"))
            die("session:create was answered with %.*s", (int)a.type_bytes, a.type);
        store_session_id(c, a.session_id, a.session_id_bytes);
        if (c->asked < (uint32_t)opt.sessions) send_create(c, now);
        return;
    } else if (is(a.type, a.type_bytes, "message:accepted") ||
               (opt.echo && is(a.type, a.type_bytes, "message:send"))) {
        answered++;
        if (opt.open_loop) {
            if (slot->begun >= window_from_ns && slot->begun < window_to_ns) measured++, record(now - slot->begun);
        } else if (phase == WINDOW) measured++, record(now - slot->begun);
    } else strays++;
    if (opt.open_loop) send_due(c);
    else if (phase != DRAIN) send_message(c, now);
}

/* How long the head of the frame at `at` is, and the frame behind it; 0: the head is not all there. */
static size_t read_head(const uint8_t *at, size_t there, uint64_t *bytes) {
    if (there < (opt.websocket ? 2 : 4)) return 0;
    if (!opt.websocket) {
        *bytes = (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
        return 4;
    }
    size_t long_bytes = at[1] < 126 ? 0 : at[1] == 126 ? 2 : 8;
    if (at[1] > 127) die("the peer masked a frame, which only clients do");
    if (there < 2 + long_bytes) return 0;
    *bytes = long_bytes ? 0 : at[1];
    for (size_t i = 0; i < long_bytes; i++) *bytes = *bytes << 8 | at[2 + i];
    return 2 + long_bytes;
}

/* Asks for the upgrade and waits for the answer: the rest of the connection is frames. */
static void shake_hands(int fd) {
    char request[512], answer[2048];
    int count = snprintf(request, sizeof request,
                         "GET /v1/ws HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                         "Sec-WebSocket-Protocol: sojourn.v1.msgpack\r\n\r\n", opt.host, opt.port);
    if (send(fd, request, count, MSG_NOSIGNAL) != count) die("the upgrade could not be asked for: %s", strerror(errno));
    for (size_t had = 0; had + 1 < sizeof answer; had++) {
        if (recv(fd, answer + had, 1, 0) != 1) die("the server closed a connection instead of upgrading it");
        answer[had + 1] = 0;
        if (had < 3 || strcmp(answer + had - 3, "\r\n\r\n")) continue;
        if (strncmp(answer, "HTTP/1.1 101 ", 13)) die("the upgrade was refused: %.60s", answer);
        return;
    }
    die("the answer to the upgrade is too long");
}

static void on_readable(struct connection *c) {
    static uint8_t buffer[MAX_FRAME_BYTES + MAX_HEAD_BYTES + READ_BYTES];
    memcpy(buffer, c->in, c->in_bytes);
    ssize_t count = recv(c->fd, buffer + c->in_bytes, READ_BYTES, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
        end_connection(c);
        return;
    }
    int64_t now = monotonic();
    size_t at = 0, to = c->in_bytes + count;
    uint64_t bytes;
    for (size_t head_bytes; (head_bytes = read_head(buffer + at, to - at, &bytes)); at += head_bytes + bytes) {
        if (bytes == 0 || bytes > MAX_FRAME_BYTES) die("the peer announced a frame of %llu bytes", (unsigned long long)bytes);
        if (to - at - head_bytes < bytes) break;
        if (opt.websocket && buffer[at] != 0x82) {
            end_connection(c); /* a close frame: its `goodbye` came before */
            return;
        }
        on_answer(c, buffer + at + head_bytes, bytes, now);
    }
    c->in_bytes = to - at;
    if (c->in_bytes > c->in_room) c->in = room(c->in, c->in_room = c->in_bytes);
    memcpy(c->in, buffer + at, c->in_bytes);
}

static void open_connections(void) {
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *address;
    char port[16];
    snprintf(port, sizeof port, "%d", opt.port);
    int failure = getaddrinfo(opt.host, port, &hints, &address);
    if (failure) die("%s: %s", opt.host, gai_strerror(failure));
    connections = calloc(opt.connections, sizeof *connections);
    dirty = calloc(opt.connections, sizeof *dirty);
    if (!connections || !dirty) die("out of memory");
    for (int i = 0; i < opt.connections; i++) {
        struct connection *c = &connections[i];
        int one = 1;
        c->index = i;
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0) die("connection %d: %s (ulimit -n?)", i, strerror(errno));
        if (connect(c->fd, address->ai_addr, address->ai_addrlen))
            die("connection %d to %s:%d: %s", i, opt.host, opt.port, strerror(errno));
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (opt.websocket) shake_hands(c->fd);
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl: %s", strerror(errno));
        c->slots = room(NULL, opt.outstanding * sizeof *c->slots);
        memset(c->slots, 0, opt.outstanding * sizeof *c->slots);
        c->free_slots = room(NULL, opt.outstanding * sizeof *c->free_slots);
        while (c->free_count < (uint32_t)opt.outstanding) {
            c->free_slots[c->free_count] = opt.outstanding - 1 - c->free_count;
            c->free_count++;
        }
        c->session_ids = room(NULL, opt.sessions * sizeof *c->session_ids);
        c->session_bytes = room(NULL, opt.sessions);
    }
    freeaddrinfo(address);
}

static void poll_once(int timeout_ms) {
    struct epoll_event events[256];
    int count = epoll_wait(poller, events, 256, timeout_ms);
    if (count < 0 && errno != EINTR) die("epoll_wait: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        struct connection *c = events[i].data.ptr;
        if (!c) continue; /* the timer: the main loop looks at the clock anyway */
        if (events[i].events & EPOLLOUT) flush(c);
        if (!c->ended && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(c);
        /* A turn's frames leave with the connection that caused them, or later answers would wait for all 256. */
        if (!opt.open_loop) flush_dirty();
    }
    flush_dirty();
}

static void read_session_ids(void) {
    FILE *file = fopen(opt.ids, "r");
    if (!file) die("%s: %s", opt.ids, strerror(errno));
    char line[80];
    for (int i = 0; i < opt.connections; i++)
        for (int k = 0; k < opt.sessions; k++) {
            if (!fgets(line, sizeof line, file)) die("%s holds fewer ids than there are sessions", opt.ids);
            store_session_id(&connections[i], (const uint8_t *)line, strcspn(line, "\n"));
        }
    fclose(file);
}

/* A peer without sessions answers one message a connection instead: a connection counts as made when the other side
 * has taken it. Load on the first ones would hold up the rest, as libuv accepts one connection a turn of its loop. */
static void make_sessions(void) {
    uint64_t wanted = (uint64_t)opt.connections * opt.sessions;
    int64_t now = monotonic(), limit = now + (int64_t)(opt.setup_seconds * 1e9);
    if (opt.ids) read_session_ids();
    for (int i = 0; i < opt.connections && !opt.ids; i++) {
        struct connection *c = &connections[i];
        if (!opt.echo) {
            while (c->asked < (uint32_t)opt.sessions && c->asked < CREATE_WINDOW && c->free_count) send_create(c, now);
            continue;
        }
        char id[64];
        for (int k = 0; k < opt.sessions; k++) {
            snprintf(id, sizeof id, "%0*d", opt.session_id_bytes, i * opt.sessions + k);
            store_session_id(c, (const uint8_t *)id, opt.session_id_bytes);
        }
        send_message(c, now);
    }
    flush_dirty();
    while (created < wanted || answered < sent) {
        poll_once(100);
        if (monotonic() > limit)
            die("%llu of %llu sessions after %.0f s", (unsigned long long)created, (unsigned long long)wanted,
                opt.setup_seconds);
    }
    for (int i = 0; i < opt.connections; i++) connections[i].sent = 0;
    sent = answered = 0;
}

static void announce(const char *line) {
    puts(line);
    fflush(stdout);
}

static void wake_at(int timer, int64_t ns) {
    struct itimerspec when = {.it_value = {ns / 1000000000, ns % 1000000000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void run(int timer, double *cpu_used, int64_t *window_ns) {
    start_ns = monotonic();
    window_from_ns = start_ns + (int64_t)(opt.warmup * 1e9);
    if (opt.measure_at > 0) {
        struct timespec wall;
        clock_gettime(CLOCK_REALTIME, &wall);
        window_from_ns = start_ns + (int64_t)((opt.measure_at - wall.tv_sec - wall.tv_nsec / 1e9) * 1e9);
        if (window_from_ns < start_ns) die("--measure-at passed before the sessions were made");
    }
    window_to_ns = window_from_ns + (int64_t)(opt.seconds * 1e9);
    int64_t drain_to = window_to_ns + (int64_t)(opt.drain_seconds * 1e9), opened = 0, armed = 0;
    double cpu_before = 0;
    phase = WARMUP;
    if (!opt.open_loop)
        for (int i = 0; i < opt.connections; i++) {
            while (connections[i].free_count) send_message(&connections[i], start_ns);
        }
    flush_dirty();
    for (;;) {
        int64_t now = monotonic();
        if (phase == WARMUP && now >= window_from_ns) {
            phase = WINDOW;
            cpu_before = cpu_seconds();
            announce("measuring");
            opened = now;
        }
        if (phase == WINDOW && now >= window_to_ns) {
            phase = DRAIN;
            *cpu_used = cpu_seconds() - cpu_before;
            *window_ns = now - opened;
            announce("measured");
        }
        if (opt.open_loop && intended(cursor) <= now) {
            for (; intended(cursor) <= now && intended(cursor) < window_to_ns; cursor++) {
                struct connection *c = &connections[cursor % opt.connections];
                if (now - intended(cursor) > late_max) late_max = now - intended(cursor);
                c->due++;
                send_due(c);
            }
            flush_dirty();
        }
        if (phase == DRAIN && ((answered == sent && (!opt.open_loop || sent == cursor)) || now >= drain_to)) break;
        if (disconnects == (uint64_t)opt.connections) {
            if (phase != DRAIN) die("the server closed every connection%s%s", first_error[0] ? ": " : "", first_error);
            break;
        }
        int64_t next = phase == WARMUP ? window_from_ns : phase == WINDOW ? window_to_ns : drain_to;
        if (opt.open_loop && phase != DRAIN && intended(cursor) < next) next = intended(cursor);
        if (next != armed) wake_at(timer, armed = next);
        poll_once(-1);
    }
    int64_t now = monotonic(); /* what was never answered waited at least until now: leaving it out would flatter */
    if (opt.open_loop)
        for (int i = 0; i < opt.connections; i++) {
            struct connection *c = &connections[i];
            for (int k = 0; k < opt.outstanding; k++)
                if (c->slots[k].taken && c->slots[k].begun >= window_from_ns) record(now - c->slots[k].begun);
            for (uint64_t k = c->sent; k < c->due; k++) {
                int64_t instant = intended(k * opt.connections + c->index);
                if (instant >= window_from_ns) record(now - instant);
            }
        }
}

static void print_text(const char *value) {
    putchar('"');
    for (; *value; value++) {
        if (*value == '"' || *value == '\\') putchar('\\');
        putchar((unsigned char)*value < 32 ? ' ' : *value);
    }
    putchar('"');
}

static void report(double cpu_used, int64_t window_ns, double setup) {
    double seconds = window_ns / 1e9;
    uint64_t unsent = 0;
    for (int i = 0; i < opt.connections; i++) unsent += connections[i].due > connections[i].sent
                                                            ? connections[i].due - connections[i].sent : 0;
    printf("{\"mode\":\"%s\",\"connections\":%d,\"sessions\":%llu,\"outstanding\":%d,\"intended_rate\":%.3f,"
           "\"frame_bytes\":%zu,\"setup_seconds\":%.6f,",
           opt.create_only ? "create" : opt.open_loop ? "open" : "closed", opt.connections, (unsigned long long)created, opt.outstanding,
           opt.open_loop ? opt.rate : 0.0, frame_bytes, setup);
    printf("\"messages\":%llu,\"seconds\":%.6f,\"rate\":%.1f,\"sent\":%llu,\"answered\":%llu,\"unanswered\":%llu,"
           "\"errors\":%llu,\"strays\":%llu,\"pushes\":%llu,\"disconnects\":%llu,",
           (unsigned long long)measured, seconds, seconds > 0 ? measured / seconds : 0.0, (unsigned long long)sent,
           (unsigned long long)answered, (unsigned long long)(sent - answered + unsent), (unsigned long long)errors,
           (unsigned long long)strays, (unsigned long long)pushes, (unsigned long long)disconnects);
    printf("\"latency_us\":{\"mean\":%.1f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p99_9\":%.1f,\"p99_99\":%.1f,\"max\":%.1f},"
           "\"late_us_max\":%.1f,"
           "\"cpu_seconds\":%.4f,\"cpu_utilisation\":%.4f,\"error_codes\":{",
           recorded ? latency_sum / 1e3 / recorded : 0.0, percentile_us(0.5), percentile_us(0.9), percentile_us(0.99),
           percentile_us(0.999), percentile_us(0.9999), latency_max / 1e3, late_max / 1e3, cpu_used, seconds > 0 ? cpu_used / seconds : 0.0);
    for (int i = 0; i < MAX_CODES && codes[i].count; i++) {
        if (i) putchar(',');
        print_text(codes[i].code);
        printf(":%llu", (unsigned long long)codes[i].count);
    }
    printf("},\"first_error\":");
    print_text(first_error);
    puts("}");
}

static double number(const char *name, const char *value, double low, double high) {
    char *end;
    double parsed = strtod(value, &end);
    if (end == value || *end || !(parsed >= low && parsed <= high))
        die("--%s must be a number from %g to %g, not %s", name, low, high, value);
    return parsed;
}

static void read_options(int argc, char **argv) {
    enum { HOST, PORT, CONNECTIONS, SESSIONS, OUTSTANDING, SECONDS, WARMUP_, MEASURE_AT, MODE, RATE, ECHO_,
           SESSION_ID_BYTES, TEXT_BYTES, SETUP_SECONDS, DRAIN_SECONDS, CREATE_ONLY, NO_ATTACH, IDS, WEBSOCKET };
    static const struct option names[] = {
        {"host", 1, 0, HOST}, {"port", 1, 0, PORT}, {"connections", 1, 0, CONNECTIONS}, {"sessions", 1, 0, SESSIONS},
        {"outstanding", 1, 0, OUTSTANDING}, {"seconds", 1, 0, SECONDS}, {"warmup", 1, 0, WARMUP_},
        {"measure-at", 1, 0, MEASURE_AT}, {"mode", 1, 0, MODE}, {"rate", 1, 0, RATE}, {"echo", 0, 0, ECHO_},
        {"session-id-bytes", 1, 0, SESSION_ID_BYTES}, {"text-bytes", 1, 0, TEXT_BYTES},
        {"setup-seconds", 1, 0, SETUP_SECONDS}, {"drain-seconds", 1, 0, DRAIN_SECONDS},
        {"create-only", 0, 0, CREATE_ONLY}, {"no-attach", 0, 0, NO_ATTACH}, {"ids", 1, 0, IDS},
        {"websocket", 0, 0, WEBSOCKET}, {0}};
    int which, long_index = 0;
    while ((which = getopt_long(argc, argv, "", names, &long_index)) != -1) {
        if (which == '?') exit(2);
        const char *name = names[long_index].name;
        switch (which) {
        case HOST: opt.host = optarg; break;
        case PORT: opt.port = number(name, optarg, 1, 65535); break;
        case CONNECTIONS: opt.connections = number(name, optarg, 1, 1e6); break;
        case SESSIONS: opt.sessions = number(name, optarg, 1, 1e6); break;
        case OUTSTANDING: opt.outstanding = number(name, optarg, 1, MAX_SLOTS); break;
        case SECONDS: opt.seconds = number(name, optarg, 0.001, 1e6); break;
        case WARMUP_: opt.warmup = number(name, optarg, 0, 1e6); break;
        case MEASURE_AT: opt.measure_at = number(name, optarg, 1, 1e11); break;
        case RATE: opt.rate = number(name, optarg, 0.001, 1e8); break;
        case ECHO_: opt.echo = true; break;
        case CREATE_ONLY: opt.create_only = true; break;
        case NO_ATTACH: opt.no_attach = true; break;
        case IDS: opt.ids = optarg; break;
        case WEBSOCKET: opt.websocket = true; break;
        case SESSION_ID_BYTES: opt.session_id_bytes = number(name, optarg, 12, 62); break;
        case TEXT_BYTES: opt.text_bytes = number(name, optarg, 1, sizeof text - 1024); break;
        case SETUP_SECONDS: opt.setup_seconds = number(name, optarg, 0.001, 1e6); break;
        case DRAIN_SECONDS: opt.drain_seconds = number(name, optarg, 0, 1e6); break;
        case MODE:
            opt.open_loop = !strcmp(optarg, "open");
            if (!opt.open_loop && strcmp(optarg, "closed")) die("--mode must be closed or open, not %s", optarg);
        }
    }
    if (optind < argc) die("%s is no option", argv[optind]);
    if (!opt.port) die("--port is needed");
    if (opt.echo && (opt.create_only || opt.ids)) die("a peer that knows no sessions goes with neither");
    /* In the open loop the slots only bound the memory: a message that finds none keeps its intended instant. */
    if (!opt.outstanding) opt.outstanding = opt.open_loop ? 1024 : 1;
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    static const char words[] = "Where is my order? It was due on Monday. ";
    for (size_t i = 0; i < sizeof text; i++) text[i] = words[i % (sizeof words - 1)];
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    prctl(PR_SET_TIMERSLACK, 1); /* the default lets a wake-up come 50 µs late, and the open loop would be charged */
    message_seed = (uint64_t)monotonic() ^ (uint64_t)getpid() << 40;
    poller = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    if (poller < 0 || timer < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event)) die("epoll: %s", strerror(errno));

    double cpu_used = 0;
    int64_t window_ns = 0, begun = monotonic();
    open_connections();
    make_sessions();
    double setup = (monotonic() - begun) / 1e9;
    if (opt.create_only) cpu_used = cpu_seconds(), window_ns = monotonic() - begun;
    else run(timer, &cpu_used, &window_ns);
    report(cpu_used, window_ns, setup);
    return 0;
}
