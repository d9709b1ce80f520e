/* The limit: a client that answers every frame with a fixed order and does nothing else, by a blocking or a busy-polled socket; and a frame
 * counter.
 *
 *   wire_client spin|block|count CPU PORT [COUNT] */
#include "wire.h"

int main(int argc, char** argv) {
    static unsigned char buffer[BUFFER_MAX + 1], order[512];
    const char* body = "{\"reqId\":\"r1\",\"header\":{\"X-BAPI-TIMESTAMP\":\"1760000000000\",\"X-BAPI-RECV-WINDOW\":\"5000\"},"
                       "\"op\":\"order.create\",\"args\":[{\"category\":\"linear\",\"symbol\":\"ROSEUSDT\",\"side\":\"Buy\","
                       "\"orderType\":\"Limit\",\"qty\":\"1\",\"price\":\"0.04632\","
                       "\"timeInForce\":\"PostOnly\",\"orderLinkId\":\"lq-1\"}]}";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, opcode;
    size_t n = 0, at, payload, used;
    if (argc < 4) die("usage: wire_client spin|block|count CPU PORT [COUNT]");
    int spin = !strcmp(argv[1], "spin"), counting = !strcmp(argv[1], "count");
    long left = argc > 4 ? atol(argv[4]) : 0;
    pin(atoi(argv[2]));
    address.sin_port = htons((uint16_t)atoi(argv[3]));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr*)&address, sizeof(address))) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    const char* hello = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    write_all(fd, hello, strlen(hello));
    while (!strstr((char*)buffer, "\r\n\r\n")) {
        ssize_t got = recv(fd, buffer + n, 1, 0);      /* byte by byte: the first frame may follow at once */
        if (got <= 0) die("handshake");
        n += (size_t)got;
    }
    if (!strstr((char*)buffer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) die("wrong Sec-WebSocket-Accept");      /* RFC 6455 section 1.3 */
    size_t head = ws_header(order, strlen(body), 1), order_n = head + strlen(body);
    memcpy(order + head, body, strlen(body));
    for (n = 0;;) {
        ssize_t got = recv(fd, buffer + n, BUFFER_MAX - n, spin ? MSG_DONTWAIT : 0);
        if (got == 0) return 0;
        if (got < 0) {
            if (errno == EAGAIN || errno == EINTR) continue;
            return errno == ECONNRESET ? 0 : 1;
        }
        n += (size_t)got;
        size_t from = 0;
        while ((used = ws_frame(buffer + from, n - from, &opcode, &at, &payload))) {
            from += used;
            if (!counting || !--left) write_all(fd, order, order_n);
        }
        memmove(buffer, buffer + from, n - from);
        n -= from;
    }
}
