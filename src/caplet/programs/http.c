/* SPDX-License-Identifier: Apache-2.0 */
/* http [:PORT]: answer `ok` to every GET, by default on port 80. The server of `caplet demo`.
 *
 * One dual-stack socket serves IPv6 and IPv4, as Go's net.Listen("tcp", ":80") does; where the kernel has no IPv6,
 * IPv4 alone. One connection is served at a time, with a time limit. SIGTERM and SIGINT end it: as process 1 of a
 * container it must handle them itself, because the kernel drops a signal for which process 1 has no handler
 * (pid_namespaces(7)). When it cannot listen it says why in one line and exits with 1.
 */
#include "start.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

enum { USAGE = 2, PORT = 80, BACKLOG = 128 };
/* One read or write of a connection may wait this long. */
enum { LIMIT_SECONDS = 5 };
/* Where a request is cut: more than a browser sends to ask for a page. */
enum { REQUEST_MAX = 8192 };

static bool starts_with(const char *text, const char *prefix)
{
    while (*prefix)
        if (*text++ != *prefix++)
            return false;
    return true;
}

static void say(const char *text)
{
    sys(__NR_write, 2, text, length(text));
}

static const char *error_name(long error)
{
    switch (error) {
    case EACCES:
        return "permission denied";
    case EADDRINUSE:
        return "address already in use";
    case EPERM:
        return "operation not permitted";
    case EAFNOSUPPORT:
        return "address family not supported";
    default:
        return "cannot listen";
    }
}

/* `:8080` or `8080`; -1 for anything else. */
static long parse_port(const char *text)
{
    long port = 0;
    if (*text == ':')
        text++;
    if (!*text)
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || (port = port * 10 + (*text - '0')) > 65535)
            return -1;
    }
    return port;
}

static _Noreturn void fail(long port, long error)
{
    char digits[6], *text = digits + sizeof digits;
    *--text = 0;
    do
        *--text = (char)('0' + port % 10);
    while (port /= 10);
    say("listen :");
    say(text);
    say(": ");
    say(error_name(error));
    say("\n");
    leave(1);
}

static long listener(long port)
{
    uint16_t network_port = (uint16_t)(port << 8 | port >> 8); /* both architectures are little-endian */
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = network_port};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = network_port};
    void *address = &any6;
    long size = sizeof any6, error, on = 1, off = 0;
    long fd = sys(__NR_socket, AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0) {
        address = &any4;
        size = sizeof any4;
        fd = sys(__NR_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    }
    if (fd < 0)
        fail(port, -fd);
    sys(__NR_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &on, 4);
    sys(__NR_setsockopt, fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, 4);
    if ((error = sys(__NR_bind, fd, address, size)) < 0 || (error = sys(__NR_listen, fd, BACKLOG)) < 0)
        fail(port, -error);
    return fd;
}

/* Read up to the blank line that ends the request's head. False: the client went away, or sent too much. */
static bool read_head(long fd, char *head)
{
    for (size_t used = 0; used < REQUEST_MAX;) {
        long n = sys(__NR_read, fd, head + used, REQUEST_MAX - used);
        if (n <= 0)
            return false;
        used += (size_t)n;
        head[used] = 0;
        for (size_t i = 0; i + 1 < used; i++)
            if (starts_with(head + i, "\n\r\n") || starts_with(head + i, "\n\n"))
                return true;
    }
    return false;
}

static void answer(long fd)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
                             "Connection: close\r\n\r\nok\n";
    static const char not_allowed[] = "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nContent-Length: 0\r\n"
                                      "Connection: close\r\n\r\n";
    static char head[REQUEST_MAX + 1];
    const long limit[2] = {LIMIT_SECONDS, 0}; /* struct timeval */
    sys(__NR_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, limit, sizeof limit);
    sys(__NR_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, limit, sizeof limit);
    if (!read_head(fd, head))
        return;
    const char *text = starts_with(head, "GET ") ? ok : not_allowed;
    sys(__NR_sendto, fd, text, length(text), MSG_NOSIGNAL, 0);
    sys(__NR_shutdown, fd, SHUT_WR);
    /* Wait for the client's end: closing with unread bytes would reset the connection and could lose the answer. */
    while (sys(__NR_read, fd, head, REQUEST_MAX) > 0)
        ;
}

static void stop(int signal)
{
    (void)signal;
    leave(0);
}

static void handle(long signal)
{
    struct {
        void (*handler)(int);
        unsigned long flags;
#ifdef __x86_64__
        void (*restorer)(int); /* without one the kernel does not deliver; stop() never returns, so it is never used */
#endif
        unsigned long mask;
    } action = {.handler = stop};
#ifdef __x86_64__
    action.flags = 0x04000000; /* SA_RESTORER */
    action.restorer = stop;
#endif
    sys(__NR_rt_sigaction, signal, &action, 0, sizeof action.mask);
}

void start(long *stack)
{
    long argc = stack[0], port = PORT;
    char **argv = (char **)&stack[1];
    if (argc > 1)
        port = parse_port(argv[1]);
    if (argc > 2 || port < 0) {
        say("usage: http [:PORT]\n");
        leave(USAGE);
    }
    handle(2 /* SIGINT */);
    handle(15 /* SIGTERM */);
    long fd = listener(port);
    for (;;) {
        long client = sys(__NR_accept4, fd, 0, 0, SOCK_CLOEXEC);
        if (client < 0)
            continue;
        answer(client);
        sys(__NR_close, client);
    }
}
