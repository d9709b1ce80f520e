/* What the bench's server and C clients share: sockets on loopback, and as much of RFC 6455 as two known peers need. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAMES_MAX 4096
#define BUFFER_MAX (1 << 20)

static void die(const char* what) {
    fprintf(stderr, "bench wire: %s: %s\n", what, errno ? strerror(errno) : "protocol");
    exit(1);
}

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (cpu >= 0 && sched_setaffinity(0, sizeof(set), &set)) die("sched_setaffinity");
}

static void write_all(int fd, const void* data, size_t n) {
    const char* p = data;
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN || errno == EINTR) continue;
            die("send");
        }
        p += sent;
        n -= (size_t)sent;
    }
}

/* One websocket frame at p (n bytes there): its total size, or 0 where more bytes are needed. Payload stays as it is. */
static size_t ws_frame(const unsigned char* p, size_t n, int* opcode, size_t* payload_at, size_t* payload_n) {
    size_t at = 2, len;
    if (n < 2) return 0;
    *opcode = p[0] & 15;
    len = p[1] & 127;
    if (len == 126) {
        if (n < 4) return 0;
        len = (size_t)p[2] << 8 | p[3];
        at = 4;
    } else if (len == 127) {
        if (n < 10) return 0;
        len = 0;
        for (int i = 2; i < 10; i++) len = len << 8 | p[i];
        at = 10;
    }
    if (p[1] & 128) at += 4;
    if (len > BUFFER_MAX || n < at + len) return 0;
    *payload_at = at;
    *payload_n = len;
    return at + len;
}

/* Header of a text frame; mask 0 = unmasked (server). Returns its size. */
static size_t ws_header(unsigned char* p, size_t n, int masked) {
    size_t at;
    p[0] = 0x81;
    if (n < 126) {
        p[1] = (unsigned char)n;
        at = 2;
    } else {
        p[1] = 126;
        p[2] = (unsigned char)(n >> 8);
        p[3] = (unsigned char)n;
        at = 4;
    }
    if (masked) {
        p[1] |= 128;
        memset(p + at, 0, 4);   /* a zero mask is a valid mask and leaves the payload as it is */
        at += 4;
    }
    return at;
}
#endif
