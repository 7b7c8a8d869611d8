#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Join requests by the thousand.

  flood.py init PCAP DEST N SECONDS   N messages as the first IKE_SA_INIT in PCAP, each of an SPI of its own
"""
import os
import socket
import struct
import sys
import time


def first_init(path):
    """The UDP payload of the first IKE_SA_INIT request: marker, then IKE (RFC 7296, 3.1)."""
    data = open(path, "rb").read()
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack("<I", data[at + 8:at + 12])[0]
        packet = data[at + 16:at + 16 + length]
        mark = packet.find(b"\0\0\0\0", 20)
        while mark >= 0:
            ike = packet[mark + 4:]
            if len(ike) > 28 and ike[:8] != bytes(8) and ike[8:16] == bytes(8) and ike[17:20] == b"\x20\x22\x08" \
                    and struct.unpack(">I", ike[24:28])[0] == len(ike):
                return packet[mark:]
            mark = packet.find(b"\0\0\0\0", mark + 1)
        at += 16 + length
    sys.exit("no IKE_SA_INIT in " + path)


def init(path, dest, n, seconds):
    payload = first_init(path)
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", 40000))
    began, sent = time.monotonic(), 0
    while sent < n:
        due = min(n, int((time.monotonic() - began) / seconds * n) + 1)
        while sent < due:
            s.sendto(payload[:4] + os.urandom(8) + payload[12:], (dest, 4500))
            sent += 1
        time.sleep(0.001)
    print("sent", sent, "in %.1f s" % (time.monotonic() - began))


def main():
    a = sys.argv[1:]
    if len(a) == 5 and a[0] == "init":
        return init(a[1], a[2], int(a[3]), float(a[4]))
    sys.exit(__doc__)


if __name__ == "__main__":
    main()
