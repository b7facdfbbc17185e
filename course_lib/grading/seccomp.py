"""The system calls a submission has no business with, as a filter that bubblewrap loads."""

import errno
import platform
import struct

__all__ = ["NUMBERS", "filter_bytes"]

# (x86_64, aarch64). Two reasons to be here: a larger attack surface of the host's kernel (namespaces, keyrings, bpf),
# or memory that no limit counts (memfd and System V segments that nobody maps).
NUMBERS = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "clone3": (435, 435),  # its flags lie in memory that a filter cannot read; libc falls back to clone
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "ptrace": (101, 117),
    "fanotify_init": (300, 262),
}
CLONE = (56, 220)
NAMESPACES = 0x7E020000  # CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
CLONE_THREAD, CLONE_FILES = 0x10000, 0x400  # a thread with descriptors of its own would hold sockets nobody counts
SOCKET = (41, 198)
FAMILIES = (1, 16)  # AF_UNIX, AF_NETLINK: others reach the machine around us (vsock) or hold megabytes each (TCP)
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_*: a 32-bit call has another one
X32 = 0x40000000  # the second calling convention of x86_64 hides the same calls behind this bit

LOAD, AND, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER_AT, MACHINE_AT, FIRST_ARGUMENT_AT = 0, 4, 16  # offsets in struct seccomp_data


def filter_bytes(machine: str | None = None) -> bytes:
    """The filter for this machine, as an array of `struct sock_filter`; empty for a machine it does not know.

    Refused calls fail with ENOSYS, as on a kernel built without them, so libraries take their other road; sockets that
    could leave the machine fail with EAFNOSUPPORT.
    Source: Linux, Documentation/userspace-api/seccomp_filter.rst.
    """
    machine = machine or platform.machine()
    if machine not in MACHINES:
        return b""
    column = list(MACHINES).index(machine)
    refused = REFUSE | errno.ENOSYS

    def step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("HBBI", code, if_true, if_false, value)

    program = [
        step(LOAD, MACHINE_AT), step(EQUAL, MACHINES[machine], 1), step(RETURN, KILL),
        step(LOAD, NUMBER_AT), step(AT_LEAST, X32, 0, 1), step(RETURN, refused),
    ]  # fmt: skip
    for number in (pair[column] for pair in NUMBERS.values()):
        program += [step(EQUAL, number, 0, 1), step(RETURN, refused)]
    program += [
        step(EQUAL, CLONE[column], 0, 6), step(LOAD, FIRST_ARGUMENT_AT),
        step(ANY_BIT, NAMESPACES, 0, 1), step(RETURN, refused),
        step(AND, CLONE_THREAD | CLONE_FILES), step(EQUAL, CLONE_THREAD, 0, 1), step(RETURN, refused),
        step(LOAD, NUMBER_AT), step(EQUAL, SOCKET[column], 0, 4), step(LOAD, FIRST_ARGUMENT_AT),
        step(EQUAL, FAMILIES[0], 2), step(EQUAL, FAMILIES[1], 1), step(RETURN, REFUSE | errno.EAFNOSUPPORT),
        step(RETURN, ALLOW),
    ]  # fmt: skip
    return b"".join(program)
