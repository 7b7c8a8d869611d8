# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends to an overlay address for ever: UDP, TCP and (as root) ICMP, whatever the kernel says."""
import socket
import time

TARGET = ("10.77.0.99", 17001)
ECHO = bytes.fromhex("0800f7ff00000000")  # type 8, its checksum, id 0, sequence 0

while True:
    for family, kind, proto, data in (
        (socket.AF_INET, socket.SOCK_DGRAM, 0, b"chatter in clear text"),
        (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP, ECHO),
    ):
        try:
            with socket.socket(family, kind, proto) as s:
                s.sendto(data, TARGET)
        except OSError:
            pass
    try:
        with socket.socket() as s:
            s.setblocking(False)
            s.connect_ex(TARGET)
            time.sleep(0.03)
    except OSError:
        pass
