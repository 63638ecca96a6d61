#!/usr/bin/env python3
"""Runs a command under a seccomp filter.

    tests/support/seccomp.py RULE... -- COMMAND [ARGUMENT...]

A rule is `425,426=1`: these system calls, by number or name, fail with error 1; `424-=38`: all calls
from this number on fail with 38 (424 is the first that Linux 4.18 lacks, on every architecture); or
`docker`: what Docker Engine 25 and newer permit a container without added capabilities
(docker-seccomp.txt), all else fails with EPERM. The first rule that names a call decides.

Exit status: that of the command, or 2 if there is no filter."""

import ctypes
import os
import re
import struct
import sys
from pathlib import Path

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
# Load a word of struct seccomp_data; jump if equal, if not less, if a bit is set; return (BPF).
LOAD, EQUAL, NOT_LESS, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, FIRST_ARGUMENT = 0, 16
EPERM, ENOSYS = 1, 38
# Namespaces of clone(2), which a container may not make.
NAMESPACES = 0x7E020000
AF_VSOCK = 40
# Values of personality(2) that a container may set.
PERSONALITIES = [0, 8, 0x20000, 0x20008, 0xFFFFFFFF]
# What headers may be too old for; new calls have one number on all architectures.
NEWER = {"cachestat": 451, "fchmodat2": 452, "map_shadow_stack": 453, "futex_wake": 454,
         "futex_wait": 455, "futex_requeue": 456}
HEADERS = [
    f"/usr/include/{os.uname().machine}-linux-gnu/asm/unistd_64.h",
    "/usr/include/asm-generic/unistd.h",
]


def numbers():
    """System calls of this architecture by name, from the kernel's headers."""
    for header in map(Path, HEADERS):
        if header.exists():
            found = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text(), re.M)
            return NEWER | {name: int(number) for name, number in found}
    raise SystemExit(fail("no kernel headers; apt-get install linux-libc-dev"))


def fail(what):
    print(f"seccomp.py: {what}", file=sys.stderr)
    return 2


def give(action):
    return [(RETURN, 0, 0, action)]


def on(test, value, then):
    """`then` if the word that was loaded passes the test; it must end with a return."""
    return [(test, 0, len(then), value), *then]


def docker(known):
    code = []
    names = (Path(__file__).parent / "docker-seccomp.txt").read_text()
    for name in re.sub(r"#.*", "", names).split():
        if name in known:
            code += on(EQUAL, known[name], give(ALLOW))
    first = [(LOAD, 0, 0, FIRST_ARGUMENT)]
    code += on(EQUAL, known["clone"],
               first + on(ANY_BIT, NAMESPACES, give(ERRNO | EPERM)) + give(ALLOW))
    code += on(EQUAL, known["socket"],
               first + on(EQUAL, AF_VSOCK, give(ERRNO | EPERM)) + give(ALLOW))
    allowed = [line for value in PERSONALITIES for line in on(EQUAL, value, give(ALLOW))]
    code += on(EQUAL, known["personality"], first + allowed + give(ERRNO | EPERM))
    # Old programs take EPERM for an error and ENOSYS for a reason to call clone(2).
    code += on(EQUAL, known["clone3"], give(ERRNO | ENOSYS))
    return code + give(ERRNO | EPERM)


def compiled(rules):
    code = [(LOAD, 0, 0, NUMBER)]
    for rule in rules:
        if rule == "docker":
            code += docker(numbers())
            continue
        calls, error = rule.rsplit("=", 1)
        then = give(ERRNO | int(error))
        for call in calls.split(","):
            if call.endswith("-"):
                code += on(NOT_LESS, int(call[:-1]), then)
            else:
                code += on(EQUAL, int(call) if call.isdigit() else numbers()[call], then)
    return code + give(ALLOW)


def main(arguments):
    if "--" not in arguments:
        print(__doc__, file=sys.stderr)
        return 2
    at = arguments.index("--")
    code = compiled(arguments[:at])
    lines = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    program = struct.pack("HP", len(code), ctypes.addressof(lines))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges = libc.prctl(38, 1, 0, 0, 0)
    if no_new_privileges or libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0):
        return fail("no filter: " + os.strerror(ctypes.get_errno()))
    os.execvp(arguments[at + 1], arguments[at + 1:])
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
