"""A stranger's load on one port: 10,000 datagrams a second for so long. Prints how many it sent."""

import socket
import sys
import time

RATE = 10_000


def main(host: str, port: int, seconds: float) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    began, sent, datagram = time.perf_counter(), 0, bytes([22]) + bytes(199)
    with socket.socket(family, socket.SOCK_DGRAM) as stranger:
        while (passed := time.perf_counter() - began) < seconds:
            while sent < passed * RATE:
                stranger.sendto(datagram, (host, port))
                sent += 1
            time.sleep(0.001)
    return sent


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
