/* SPDX-License-Identifier: Apache-2.0 */
/* A program without a libc: where it starts, how it calls the kernel (x86_64 and aarch64).
 *
 * execve(2) enters at _start with argc, argv, envp and the auxiliary vector on the stack
 * (System V ABI, "Process Initialization"). _start hands that stack to start(), which never returns.
 */
#ifndef CAPLET_START_H
#define CAPLET_START_H

#include <asm/unistd.h>
#include <linux/auxvec.h>
#include <stddef.h>
#include <stdint.h>

_Noreturn void start(long *stack);

#if defined(__x86_64__)

__asm__(".globl _start\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call start\n");

static inline long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(__aarch64__)

__asm__(".globl _start\n"
        "_start:\n"
        "    mov x29, #0\n"
        "    mov x30, #0\n"
        "    mov x0, sp\n"
        "    and sp, x0, #-16\n"
        "    bl start\n");

static inline long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}

#else
#error "only x86_64 and aarch64"
#endif

/* The unused arguments are zero, as prctl(2) demands of several of its operations. */
#define CALL_1(n) syscall6(n, 0, 0, 0, 0, 0, 0)
#define CALL_2(n, a) syscall6(n, (long)(a), 0, 0, 0, 0, 0)
#define CALL_3(n, a, b) syscall6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define CALL_4(n, a, b, c) syscall6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define CALL_5(n, a, b, c, d) syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define CALL_6(n, a, b, c, d, e) syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define CALL_PICK(_1, _2, _3, _4, _5, _6, name, ...) name
/* sys(__NR_x, arguments...): the kernel's answer, -errno when it refuses. */
#define sys(...) CALL_PICK(__VA_ARGS__, CALL_6, CALL_5, CALL_4, CALL_3, CALL_2, CALL_1, 0)(__VA_ARGS__)

static _Noreturn inline void leave(int status)
{
    for (;;)
        sys(__NR_exit_group, status);
}

static inline size_t length(const char *text)
{
    size_t n = 0;
    while (text[n])
        n++;
    return n;
}

/* Clang turns loops into these whatever the flags say (it assumes them even of a freestanding program). */
void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile char *)to)[i] = ((const char *)from)[i];
    return to;
}

void *memset(void *to, int value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile char *)to)[i] = (char)value;
    return to;
}

#endif
