/* The market of the wire benches: pushes frames over a websocket and times how long an order takes to come back, by websocket or as an HTTP
 * POST.
 *
 *   wire_server react CPU FRAMES_FILE COUNT WARMUP GAP_US     one frame, wait for the order, GAP_US of silence, next frame
 *   wire_server flood CPU FRAMES_FILE COUNT                   all frames as fast as the socket takes them; ends at the client's first
 message *
 * Prints {"port": N} when it listens, and one JSON line of results at the end. Busy-polls on its CPU: what is measured is the client and
 the kernel. * It accepts several connections: the first that upgrades is the feed; orders may come on any. */
#include "wire.h"

#define PEERS_MAX 16
#define ACCEPT_EVERY 256
#define TIMEOUT_NS 120000000000LL        /* for each wait; a busy machine takes its time, and wire.py's TIMEOUT_S bounds the whole trial */

typedef struct { int fd; int upgraded; size_t n; unsigned char* data; } peer_t;

static peer_t peers[PEERS_MAX];
static int peer_count, feed = -1, listener;
static unsigned char* wire[FRAMES_MAX];
static size_t wire_n[FRAMES_MAX];
static int frame_count;

static void sha1(const unsigned char* message, size_t n, unsigned char out[20]) {
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0}, w[80];
    unsigned char block[128] = {0};
    size_t total = n + 9 > 64 ? 128 : 64;
    if (n > 119) die("handshake key too long");
    memcpy(block, message, n);
    block[n] = 0x80;
    for (int i = 0; i < 8; i++) block[total - 1 - i] = (unsigned char)((uint64_t)n * 8 >> (8 * i));
    for (size_t at = 0; at < total; at += 64) {
        for (int i = 0; i < 16; i++) {
            const unsigned char* b4 = block + at + 4 * i;
            w[i] = (uint32_t)b4[0] << 24 | b4[1] << 16 | b4[2] << 8 | b4[3];
        }
        for (int i = 16; i < 80; i++) { uint32_t x = w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16]; w[i] = x << 1 | x >> 31; }
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 ? b ^ c ^ d : i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
            uint32_t k = i < 20 ? 0x5A827999 : i < 40 ? 0x6ED9EBA1 : i < 60 ? 0x8F1BBCDC : 0xCA62C1D6;
            uint32_t t = (a << 5 | a >> 27) + f + e + k + w[i];
            e = d; d = c; c = b << 30 | b >> 2; b = a; a = t;
        }
        h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e;
    }
    for (int i = 0; i < 20; i++) out[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64_20(const unsigned char in[20], char out[29]) {
    static const char* abc = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0, o = 0; i < 21; i += 3, o += 4) {
        uint32_t v = (uint32_t)in[i] << 16 | in[i + 1] << 8 | (i + 2 < 20 ? in[i + 2] : 0);
        out[o] = abc[v >> 18]; out[o + 1] = abc[v >> 12 & 63]; out[o + 2] = abc[v >> 6 & 63]; out[o + 3] = i + 2 < 20 ? abc[v & 63] : '=';
    }
    out[28] = 0;
}

static void upgrade(peer_t* p) {
    char* key = strcasestr((char*)p->data, "sec-websocket-key:");
    char source[128], accept[29], reply[256];
    unsigned char digest[20];
    int n = 0;
    if (!key) die("no Sec-WebSocket-Key");
    key += 18;
    while (*key == ' ') key++;
    while (key[n] && key[n] != '\r' && n < 60) n++;
    snprintf(source, sizeof(source), "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", n, key);
    sha1((unsigned char*)source, strlen(source), digest);
    base64_20(digest, accept);
    n = snprintf(reply, sizeof(reply), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
    write_all(p->fd, reply, (size_t)n);
    p->upgraded = 1;
}

/* Take what is complete out of a peer's buffer. Returns 1 where it was an order (a text frame or a POST). */
static int take(peer_t* p) {
    int opcode, order = 0;
    size_t at, n, used;
    if (p->upgraded) {
        while ((used = ws_frame(p->data, p->n, &opcode, &at, &n))) {
            if (opcode == 1 || opcode == 2) order = 1;
            memmove(p->data, p->data + used, p->n - used);
            p->n -= used;
        }
        return order;
    }
    p->data[p->n] = 0;
    char* end = strstr((char*)p->data, "\r\n\r\n");
    if (!end) return 0;
    if (strcasestr((char*)p->data, "upgrade: websocket")) {
        upgrade(p);
        p->n = 0;
        if (feed < 0) feed = (int)(p - peers);
        return 0;
    }
    char* length = strcasestr((char*)p->data, "content-length:");
    size_t body = length ? (size_t)atol(length + 15) : 0;
    if (p->n < (size_t)(end + 4 - (char*)p->data) + body) return 0;
    p->n = 0;
    return 2;
}

static void answer_post(peer_t* p) {
    static const char* body = "{\"retCode\":0,\"retMsg\":\"OK\",\"result\":{\"orderId\":\"1\",\"orderLinkId\":\"\"},"
                              "\"retExtInfo\":{},\"time\":1}";
    char reply[400];
    int n = snprintf(reply, sizeof(reply), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     strlen(body), body);
    write_all(p->fd, reply, (size_t)n);
}

/* One turn over all sockets. Returns 1 where an order is complete; *when is the time its last byte was read.
 *
 * New connections are looked for in one turn of ACCEPT_EVERY only: accept4 makes a socket and a file before it finds that nobody is there, some
 * microseconds in all, and an order that arrives meanwhile would be seen so much later. The stopwatch must tick finer than what it measures. */
static int poll_once(int64_t* when) {
    static unsigned turn;
    int one = 1, fd = peer_count < PEERS_MAX && turn++ % ACCEPT_EVERY == 0 ? accept4(listener, NULL, NULL, SOCK_NONBLOCK) : -1;
    if (fd >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        peers[peer_count++] = (peer_t){fd, 0, 0, malloc(BUFFER_MAX + 1)};
    }
    for (int i = 0; i < peer_count; i++) {
        peer_t* p = &peers[i];
        if (p->fd < 0) continue;
        ssize_t got = recv(p->fd, p->data + p->n, BUFFER_MAX - p->n, MSG_DONTWAIT);
        if (got == 0) {
            if (i == feed) die("the client closed the feed");
            close(p->fd);
            p->fd = -1;
        }
        if (got <= 0) continue;
        p->n += (size_t)got;
        int kind = take(p);
        if (kind) {
            *when = now_ns();
            if (kind == 2) answer_post(p);
            return 1;
        }
    }
    return 0;
}

static void load(const char* path) {
    FILE* file = fopen(path, "rb");
    char* line = NULL;
    size_t room = 0;
    ssize_t n;
    if (!file) die(path);
    while (frame_count < FRAMES_MAX && (n = getline(&line, &room, file)) > 0) {
        if (line[n - 1] == '\n') n--;
        if (n > 65535) die("frame too large");
        wire[frame_count] = malloc((size_t)n + 8);
        size_t at = ws_header(wire[frame_count], (size_t)n, 0);
        memcpy(wire[frame_count] + at, line, (size_t)n);
        wire_n[frame_count++] = at + (size_t)n;
    }
    fclose(file);
    if (!frame_count) die("no frames");
}

static void wait_for_feed(void) {
    int64_t when, deadline = now_ns() + TIMEOUT_NS;
    while (feed < 0) {
        poll_once(&when);
        usleep(100);            /* nothing is timed yet: leave the CPU to the client's imports */
        if (now_ns() > deadline) die("no client connected in time");
    }
    for (int64_t until = now_ns() + 200000000; now_ns() < until;) poll_once(&when);      /* let the client settle */
}

static int by_value(const void* a, const void* b) {
    int64_t x = *(const int64_t*)a, y = *(const int64_t*)b;
    return (x > y) - (x < y);
}

static void react(long count, long warmup, long gap_us) {
    int64_t* ns = malloc(sizeof(int64_t) * (size_t)count);
    wait_for_feed();
    for (long i = -warmup; i < count; i++) {
        int64_t when, start = now_ns(), deadline = start + TIMEOUT_NS;
        int k = (int)((i + warmup) % frame_count);
        write_all(peers[feed].fd, wire[k], wire_n[k]);
        while (!poll_once(&when))
            if (now_ns() > deadline) die("no order came back");
        if (i >= 0) ns[i] = when - start;
        for (int64_t until = now_ns() + gap_us * 1000; now_ns() < until;) poll_once(&when);
    }
    qsort(ns, (size_t)count, sizeof(int64_t), by_value);
    printf("{\"count\": %ld, \"min_us\": %.3f, \"p50_us\": %.3f, \"p90_us\": %.3f, \"p99_us\": %.3f, \"max_us\": %.3f}\n", count,
           ns[0] / 1e3, ns[count / 2] / 1e3, ns[count * 9 / 10] / 1e3, ns[count * 99 / 100] / 1e3, ns[count - 1] / 1e3);
}

static void flood(long count) {
    size_t room = 1 << 16, n = 0;
    unsigned char* batch = malloc(room);
    int64_t when = 0;
    wait_for_feed();
    int fd = peers[feed].fd, size = 1 << 22;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    int64_t start = now_ns(), deadline = start + TIMEOUT_NS;
    for (long i = 0; i < count; i++) {
        int k = (int)(i % frame_count);
        if (n + wire_n[k] > room) {
            write_all(fd, batch, n);
            n = 0;
        }
        memcpy(batch + n, wire[k], wire_n[k]);
        n += wire_n[k];
    }
    write_all(fd, batch, n);
    while (!poll_once(&when))
        if (now_ns() > deadline) die("the client did not report in time");
    printf("{\"count\": %ld, \"seconds\": %.6f, \"frames_per_s\": %.0f}\n", count, (when - start) / 1e9, count / ((when - start) / 1e9));
}

int main(int argc, char** argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(address);
    if (argc < 5) die("usage: wire_server react|flood CPU FRAMES COUNT [WARMUP GAP_US]");
    pin(atoi(argv[2]));
    load(argv[3]);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr*)&address, n) || listen(listener, 8)) die("listen");
    if (getsockname(listener, (struct sockaddr*)&address, &n)) die("getsockname");
    printf("{\"port\": %d}\n", ntohs(address.sin_port));
    fflush(stdout);
    if (!strcmp(argv[1], "react") && argc == 7) react(atol(argv[4]), atol(argv[5]), atol(argv[6]));
    else if (!strcmp(argv[1], "flood")) flood(atol(argv[4]));
    else die("usage");
    return 0;
}
