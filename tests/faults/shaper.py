"""Two cables that a test can make slow or cut: this kernel has no netem, so packets pass through this process.

    python -m tests.faults.shaper CLINIC_PID NAME=PID …

For each NAME a point-to-point device `eth0` in the namespace of PID and one called NAME in that of CLINIC_PID.
On standard input, one a line: `NAME delay MILLISECONDS` (one way) and `NAME cut SECONDS`.
"""

import ctypes
import fcntl
import heapq
import os
import selectors
import struct
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x1, 0x1000
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def enter(pid: int) -> None:
    with open(f"/proc/{pid}/ns/net") as namespace:
        if _libc.setns(namespace.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def device(pid: int, name: str) -> int:
    enter(pid)
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return end


class Cable:
    def __init__(self, name: str, clinic: int, pid: int) -> None:
        self.ends = (device(pid, "eth0"), device(clinic, name))
        self.delay = 0.0
        self.cut_until = 0.0

    def other(self, end: int) -> int:
        return self.ends[1] if end == self.ends[0] else self.ends[0]


class Shaper:
    def __init__(self, cables: dict[str, Cable]) -> None:
        self.cables = cables
        self.by_end = {end: cable for cable in cables.values() for end in cable.ends}
        self.waiting: list[tuple[float, int, int, bytes]] = []
        self.count = 0
        self.words = selectors.DefaultSelector()
        for end in self.by_end:
            self.words.register(end, selectors.EVENT_READ)
        self.words.register(0, selectors.EVENT_READ)

    def run(self) -> None:
        while True:
            wait = max(0.0, self.waiting[0][0] - time.monotonic()) if self.waiting else None
            for key, _ in self.words.select(wait):
                if key.fd == 0:
                    words = os.read(0, 4096).decode()  # what a test writes at once is shorter
                    if not words:
                        return
                    for line in words.splitlines():
                        self.told(*line.split())
                else:
                    self.take(key.fd)
            self.deliver()

    def told(self, name: str, verb: str, value: str) -> None:
        cable = self.cables[name]
        if verb == "delay":
            cable.delay = float(value) / 1000
        else:
            cable.cut_until = time.monotonic() + float(value)

    def take(self, end: int) -> None:
        cable, now = self.by_end[end], time.monotonic()
        while True:
            try:
                packet = os.read(end, 65536)
            except BlockingIOError:
                return
            if now >= cable.cut_until:
                self.count += 1
                heapq.heappush(self.waiting, (now + cable.delay, self.count, cable.other(end), packet))

    def deliver(self) -> None:
        now = time.monotonic()
        while self.waiting and self.waiting[0][0] <= now:
            _, _, end, packet = heapq.heappop(self.waiting)
            try:
                os.write(end, packet)
            except OSError:
                continue  # the device is down, or its queue is full: a cable drops then


def main() -> None:
    clinic, *others = sys.argv[1:]
    cables = {}
    for word in others:
        name, _, pid = word.partition("=")
        cables[name] = Cable(name, int(clinic), int(pid))
    print("ready", flush=True)
    Shaper(cables).run()


if __name__ == "__main__":
    main()
