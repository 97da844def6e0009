"""Become the server, bound to the life of the process that asked for it.

whence.store.embedded runs this file as a script, with -I -S: the pid of the asking process, then
the server's binary and its arguments. A small process between fork and exec does what preexec_fn
would do, which may deadlock where other threads run.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
# How many freed blocks of a size glibc keeps at hand. A script frees thousands of small ones at a
# time, and with 7 of each, the default, finding blocks again is a tenth of an append.
_KEPT_BLOCKS = "glibc.malloc.tcache_count=20000"


def main() -> None:
    """Replace this process by the server; exit with a sentence if its parent is gone."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        _die_with_parent()
    # A parent that ended before the line above sends no signal any more.
    if os.getppid() != parent:
        sys.exit("the program that asked for this server has ended")
    # A mask is inherited through exec: with SIGTERM blocked nothing would ever stop the server.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.environ.setdefault("GLIBC_TUNABLES", _KEPT_BLOCKS)
    os.execv(command[0], command)  # noqa: S606 - the one purpose of this file


def _die_with_parent() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
