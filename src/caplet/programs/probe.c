/* SPDX-License-Identifier: Apache-2.0 */
/* probe [CALL... PROGRAM ARGUMENTS...]: print the credentials that execve(2) gave this process.
 *
 * One line a fact, the five sets named as in /proc/PID/status:
 *
 *     uid 65535 65535 65535        real, effective, saved
 *     gid 65535 65535 65535
 *     groups 27 1000               supplementary, in the kernel's (ascending) order
 *     CapInh 0000000000000000
 *     CapPrm 0000000000000400
 *     CapEff 0000000000000400
 *     CapBnd 0000000000000400
 *     CapAmb 0000000000000000
 *     NoNewPrivs 1
 *     Securebits 00
 *     AT_SECURE 1                  what a dynamic loader would see: getauxval(3)
 *     Dumpable 1                   prctl(PR_GET_DUMPABLE): 0, 1 or 2
 *
 * Everything comes from system calls, so it works where /proc is not mounted, and it is written by one
 * write(2), so that it is whole or absent. Then the arguments, in turn:
 *
 *     NUMBER,ARGUMENT,...    a system call; an argument is decimal, or @ and the hexadecimal bytes of a buffer.
 *                            Prints "result N", -errno where it is refused, and the report again
 *     PROGRAM                becomes that program with the arguments from here on, so that `probe /probe` shows
 *                            what a chain of two execve(2) leaves. Where that is refused prints "result -errno"
 *     - NAME                 nothing: how `#!/probe -` gets the script's name
 *
 * Exit status 1: a system call of the report, or the last PROGRAM, failed.
 */
#include "start.h"

#include <linux/capability.h>
#include <linux/prctl.h>

enum { GROUPS_MAX = 65536 /* NGROUPS_MAX, linux/limits.h */ };

/* The fixed lines are under 512 bytes; a group is at most ten digits with its space. */
static char report[512 + GROUPS_MAX * 11];
static size_t used;
static uint32_t group_list[GROUPS_MAX];

static void put(const char *text)
{
    while (*text)
        report[used++] = *text++;
}

static void put_number(uint64_t value, unsigned base, int digits)
{
    char reversed[20];
    int n = 0;
    do {
        reversed[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value || n < digits);
    while (n)
        report[used++] = reversed[--n];
}

static void put_decimal(const char *label, long value)
{
    put(label);
    if (value < 0)
        leave(1);
    put_number((uint64_t)value, 10, 1);
}

static void put_set(const char *label, uint64_t set)
{
    put(label);
    put_number(set, 16, 16);
}

static void put_ids(const char *label, long call)
{
    uint32_t real, effective, saved;
    if (sys(call, &real, &effective, &saved) < 0)
        leave(1);
    put_decimal(label, real);
    put_decimal(" ", effective);
    put_decimal(" ", saved);
}

static void put_groups(void)
{
    long count = sys(__NR_getgroups, GROUPS_MAX, group_list);
    if (count < 0)
        leave(1);
    put("\ngroups");
    for (long i = 0; i < count; i++)
        put_decimal(" ", group_list[i]);
}

static uint64_t set_of(const struct __user_cap_data_struct *data, size_t member)
{
    const char *low = (const char *)&data[0] + member, *high = (const char *)&data[1] + member;
    return *(const uint32_t *)low | (uint64_t) * (const uint32_t *)high << 32;
}

/* The bounding and the ambient set can only be asked one by one; EINVAL ends the capabilities that the kernel knows. */
static uint64_t asked(long option, long suboption)
{
    uint64_t set = 0;
    for (long cap = 0; cap < 64; cap++) {
        long has = suboption ? sys(__NR_prctl, option, suboption, cap, 0, 0) : sys(__NR_prctl, option, cap, 0, 0, 0);
        if (has < 0)
            break;
        set |= (uint64_t)has << cap;
    }
    return set;
}

static void put_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (sys(__NR_capget, &header, data) < 0)
        leave(1);
    put_set("\nCapInh ", set_of(data, offsetof(struct __user_cap_data_struct, inheritable)));
    put_set("\nCapPrm ", set_of(data, offsetof(struct __user_cap_data_struct, permitted)));
    put_set("\nCapEff ", set_of(data, offsetof(struct __user_cap_data_struct, effective)));
    put_set("\nCapBnd ", asked(PR_CAPBSET_READ, 0));
    put_set("\nCapAmb ", asked(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET));
}

static long secure(const long *auxv)
{
    for (; auxv[0] != AT_NULL; auxv += 2)
        if (auxv[0] == AT_SECURE)
            return auxv[1];
    return -1;
}

static void put_report(const long *auxv)
{
    put_ids("uid ", __NR_getresuid);
    put_ids("\ngid ", __NR_getresgid);
    put_groups();
    put_capabilities();
    put_decimal("\nNoNewPrivs ", sys(__NR_prctl, PR_GET_NO_NEW_PRIVS));
    put("\nSecurebits ");
    put_number((uint64_t)sys(__NR_prctl, PR_GET_SECUREBITS), 16, 2);
    put_decimal("\nAT_SECURE ", secure(auxv));
    put_decimal("\nDumpable ", sys(__NR_prctl, PR_GET_DUMPABLE));
    put("\n");
}

static void put_result(long result)
{
    put("result ");
    if (result < 0)
        put("-");
    put_number((uint64_t)(result < 0 ? -result : result), 10, 1);
    put("\n");
}

static void flush(void)
{
    if (sys(__NR_write, 1, report, used) != (long)used)
        leave(1);
    used = 0;
}

static int nibble(char digit)
{
    return digit <= '9' ? digit - '0' : digit - 'a' + 10;
}

/* One argument of a CALL; a buffer is decoded where its text stands. Leaves *text behind the comma. */
static long argument(char **text)
{
    char *at = *text, *bytes = at;
    long value = 0, sign = 1;
    if (*at == '@') {
        for (at++; *at && *at != ','; at += 2)
            *bytes++ = (char)(nibble(at[0]) << 4 | nibble(at[1]));
        value = (long)*text;
    } else {
        if (*at == '-')
            sign = -1, at++;
        for (; *at && *at != ','; at++)
            value = value * 10 + nibble(*at);
        value *= sign;
    }
    *text = *at ? at + 1 : at;
    return value;
}

static long call(char *text)
{
    long values[7] = {0};
    for (int i = 0; i < 7 && *text; i++)
        values[i] = argument(&text);
    return syscall6(values[0], values[1], values[2], values[3], values[4], values[5], values[6]);
}

void start(long *stack)
{
    long argc = stack[0];
    char **argv = (char **)&stack[1], **envp = argv + argc + 1;
    long *auxv = (long *)envp;
    int status = 0;
    while (*auxv++)
        ;
    put_report(auxv);
    flush();
    for (argv++; *argv; argv++) {
        if (argv[0][0] == '-') {
            if (argv[1])
                argv++;
        } else if (argv[0][0] >= '0' && argv[0][0] <= '9') {
            put_result(call(*argv));
            put_report(auxv);
            flush();
        } else {
            put_result(sys(__NR_execve, *argv, argv, envp));
            flush();
            status = argv[1] ? 0 : 1;
        }
    }
    leave(status);
}
