#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A stranger who begins IKE_SAs and ends none: ike_flood.py ADDRESS PORT COUNT PER_SECOND

Each is a whole IKE_SA_INIT (RFC 7296) with AES-GCM and a fresh X25519 share, as a newcomer's or a
member's first message is, so the responder does the costly part: a Diffie-Hellman, and a place for
the half-open SA. What comes back is read and counted: answers, cookies (which it does not return),
refusals. Prints "SENT ANSWERED COOKIES REFUSED SECONDS".
"""
import os
import select
import socket
import struct
import sys
import time

SA, KE, NONCE, NOTIFY = 33, 34, 40, 41
COOKIE = 16390


def payload(following, body):
    return struct.pack("!BBH", following, 0, 4 + len(body)) + body


def transform(last, kind, number, attribute=b""):
    return struct.pack("!BBHBBH", 0 if last else 3, 0, 8 + len(attribute), kind, 0, number) + attribute


def init(spi):
    transforms = (transform(False, 1, 20, struct.pack("!HH", 0x800e, 256))  # AES-GCM-16, 256 bits
                  + transform(False, 2, 5)  # PRF HMAC-SHA2-256
                  + transform(True, 4, 31))  # X25519
    proposal = struct.pack("!BBHBBBB", 0, 0, 8 + len(transforms), 1, 1, 0, 3) + transforms
    body = (payload(KE, proposal) + payload(NONCE, struct.pack("!HH", 31, 0) + os.urandom(32))
            + payload(0, os.urandom(32)))
    return spi + bytes(8) + struct.pack("!BBBBII", SA, 0x20, 34, 0x08, 0, 28 + len(body)) + body


def judge(data, counts):
    data = data[4:]  # behind the non-ESP marker
    if len(data) < 32:
        return
    first = data[16]
    if first == NOTIFY:
        number = struct.unpack("!H", data[34:36])[0]
        counts["cookies" if number == COOKIE else "refused"] += 1
    else:
        counts["answered"] += 1


def main():
    address, port, count, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setblocking(False)
    s.connect((address, port))
    counts = {"answered": 0, "cookies": 0, "refused": 0}
    begun = time.monotonic()
    sent = 0

    def hear(until):
        while True:
            left = until - time.monotonic()
            if not select.select([s], [], [], max(0, left))[0]:
                return
            try:
                judge(s.recv(4096), counts)
            except OSError:
                pass

    while sent < count:
        due = min(count, int((time.monotonic() - begun) * rate) + 1)
        while sent < due:
            try:
                s.send(bytes(4) + init(os.urandom(8)))
            except OSError:
                pass
            sent += 1
        hear(begun + sent / rate)
    hear(time.monotonic() + 1)
    print(sent, counts["answered"], counts["cookies"], counts["refused"], round(time.monotonic() - begun, 1))


main()
