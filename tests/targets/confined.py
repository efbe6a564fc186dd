"""Runs a command as a container would: `python3 confined.py FILTER CAPABILITIES COMMAND...`.

FILTER: docker (what Docker's default profile refuses, refused the same way), kill-clone (a clone kills the process),
no-ptrace (what looks at others is refused), none.
CAPABILITIES: docker (Docker's default set), all.
Written with prctl(2) and seccomp(2) only, for x86-64.
"""

import ctypes
import os
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 22, 24, 38
SECCOMP_MODE_FILTER = 2
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
EPERM, ENOSYS = 1, 38
LOAD, JUMP_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x45, 0x06
ARCH_X86_64 = 0xC000003E
NEW_NAMESPACE_FLAGS = 0x7E020000

# https://docs.docker.com/engine/security/seccomp/: the system calls that the default profile refuses, x86-64 numbers.
REFUSED = {
    "acct": 163, "add_key": 248, "bpf": 321, "create_module": 174, "delete_module": 176, "finit_module": 313,
    "get_kernel_syms": 177, "init_module": 175, "ioperm": 173, "iopl": 172, "kcmp": 312, "kexec_file_load": 320,
    "kexec_load": 246, "keyctl": 250, "lookup_dcookie": 212, "mount": 165, "move_pages": 279, "name_to_handle_at": 303,
    "nfsservctl": 180, "open_by_handle_at": 304, "perf_event_open": 298, "pivot_root": 155, "query_module": 178,
    "quotactl": 179, "reboot": 169, "request_key": 249, "setns": 308, "settimeofday": 164, "clock_settime": 227,
    "swapon": 167, "swapoff": 168, "sysfs": 139, "_sysctl": 156, "umount2": 166, "unshare": 272, "uselib": 134,
    "userfaultfd": 323, "ustat": 136, "mbind": 237, "set_mempolicy": 238, "get_mempolicy": 239,
}
CLONE, FORK, VFORK, CLONE3 = 56, 57, 58, 435
PTRACE, PROCESS_VM_READV, PROCESS_VM_WRITEV = 101, 310, 311
DOCKER_CAPABILITIES = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}


def instruction(code, k, on_true=0, on_false=0):
    return struct.pack("<HBBI", code, on_true, on_false, k)


def docker_filter():
    program = [instruction(LOAD, 4), instruction(JUMP_EQUAL, ARCH_X86_64, 1, 0), instruction(RETURN, KILL), instruction(LOAD, 0)]
    for number in sorted(REFUSED.values()):
        program += [instruction(JUMP_EQUAL, number, 0, 1), instruction(RETURN, ERRNO | EPERM)]
    program += [instruction(JUMP_EQUAL, CLONE3, 0, 1), instruction(RETURN, ERRNO | ENOSYS)]
    program += [instruction(JUMP_EQUAL, CLONE, 0, 3), instruction(LOAD, 16), instruction(JUMP_SET, NEW_NAMESPACE_FLAGS, 0, 1),
                instruction(RETURN, ERRNO | EPERM), instruction(RETURN, ALLOW)]
    return program


def kill_clone_filter():
    program = [instruction(LOAD, 0)]
    for number in (CLONE, FORK, VFORK, CLONE3):
        program += [instruction(JUMP_EQUAL, number, 0, 1), instruction(RETURN, KILL)]
    return program + [instruction(RETURN, ALLOW)]


def no_ptrace_filter():
    program = [instruction(LOAD, 0)]
    for number in (PTRACE, PROCESS_VM_READV, PROCESS_VM_WRITEV):
        program += [instruction(JUMP_EQUAL, number, 0, 1), instruction(RETURN, ERRNO | EPERM)]
    return program + [instruction(RETURN, ALLOW)]


def install(program):
    code = ctypes.create_string_buffer(b"".join(program))
    header = struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(code))
    if LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(header), 0, 0) != 0:
        if LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or \
                LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(header), 0, 0):
            sys.exit("confined.py: no filter: %s" % os.strerror(ctypes.get_errno()))


def main():
    wanted, capabilities, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    if capabilities == "docker":
        for number in range(41):
            if number not in DOCKER_CAPABILITIES:
                LIBC.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    if wanted == "docker":
        install(docker_filter())
    elif wanted == "kill-clone":
        install(kill_clone_filter())
    elif wanted == "no-ptrace":
        install(no_ptrace_filter())
    os.execvp(command[0], command)


main()
