#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An approved but hostile member: seals a packet of its choosing into its own ESP SA.

  forge_esp.py CHARON_LOG OUTER_SRC OUTER_DST INNER_SRC INNER_DST [udp:PORT|tcp:PORT|icmp] [COUNT [FIRST_SEQ]]

charon of the hostile node logs the keys it negotiated (filelog `chd = 4`); the last outbound SA
towards OUTER_DST is taken. AES-256-GCM (RFC 4106) in UDP (RFC 3948), IPv4 only. libcrypto is
called directly, so that nothing beyond the packages overlayd needs anyway must be installed.
"""
import ctypes
import ctypes.util
import re
import socket
import struct
import sys


def keys(path, dst):
    """(spi, key+salt) of the newest SA that this end uses to send to dst."""
    spi, found, role, hexes = None, {}, None, {}
    for line in open(path, errors="replace"):
        m = re.search(r"\[CHD\] encryption (initiator|responder) key", line)
        if m:
            role = m.group(1)
            hexes[role] = b""
            continue
        m = re.search(r"\[CHD\]\s+\d+: ((?:[0-9A-F]{2} ){1,16})", line)
        if m and role:
            hexes[role] += bytes.fromhex(m.group(1))
            continue
        role = None
        m = re.search(r"\[CHD\]\s+SPI 0x([0-9a-f]+), src (\S+) dst (\S+)", line)
        if m and m.group(3) == dst:
            # The log does not say who initiated: both keys are candidates, the right one verifies.
            spi = int(m.group(1), 16)
            found[spi] = dict(hexes)
    if spi is None:
        sys.exit("forge_esp: no outbound SA towards %s in %s" % (dst, path))
    return spi, found[spi]


def aes_gcm(key, iv, aad, plain):
    c = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
    c.EVP_CIPHER_CTX_new.restype = c.EVP_aes_256_gcm.restype = ctypes.c_void_p
    p = ctypes.c_void_p
    ctx = p(c.EVP_CIPHER_CTX_new())
    out, n, tag = ctypes.create_string_buffer(len(plain) + 32), ctypes.c_int(), ctypes.create_string_buffer(16)
    ok = c.EVP_EncryptInit_ex(ctx, p(c.EVP_aes_256_gcm()), None, key, iv)
    ok &= c.EVP_EncryptUpdate(ctx, None, ctypes.byref(n), aad, len(aad))
    ok &= c.EVP_EncryptUpdate(ctx, out, ctypes.byref(n), plain, len(plain))
    done = n.value
    ok &= c.EVP_EncryptFinal_ex(ctx, ctypes.byref(out, done), ctypes.byref(n))
    ok &= c.EVP_CIPHER_CTX_ctrl(ctx, 0x10, 16, tag)
    c.EVP_CIPHER_CTX_free(ctx)
    if not ok:
        sys.exit("forge_esp: libcrypto refused AES-256-GCM")
    return out.raw[:done] + tag.raw


def checksum(b):
    if len(b) % 2:
        b += b"\0"
    s = sum(struct.unpack(">%dH" % (len(b) // 2), b))
    s = (s >> 16) + (s & 0xFFFF)
    return ~(s + (s >> 16)) & 0xFFFF


def ipv4(src, dst, proto, body):
    h = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, 64, proto, 0,
                    socket.inet_aton(src), socket.inet_aton(dst))
    return h[:10] + struct.pack(">H", checksum(h)) + h[12:] + body


def inner(src, dst, what):
    kind, _, port = what.partition(":")
    pseudo = socket.inet_aton(src) + socket.inet_aton(dst)
    if kind == "icmp":
        b = struct.pack(">BBHHH", 8, 0, 0, 7, 7) + b"forged packet"
        return ipv4(src, dst, 1, b[:2] + struct.pack(">H", checksum(b)) + b[4:])
    if kind == "udp":
        b = struct.pack(">HHHH", 40000, int(port), 8 + 6, 0) + b"forged"
        return ipv4(src, dst, 17, b)
    b = struct.pack(">HHIIBBHHH", 40000, int(port), 1, 0, 0x50, 2, 1024, 0, 0)
    c = checksum(pseudo + struct.pack(">BBH", 0, 6, len(b)) + b)
    return ipv4(src, dst, 6, b[:16] + struct.pack(">H", c) + b[18:])


def main():
    log, osrc, odst, isrc, idst = sys.argv[1:6]
    what = sys.argv[6] if len(sys.argv) > 6 else "icmp"
    count = int(sys.argv[7]) if len(sys.argv) > 7 else 3
    first = int(sys.argv[8]) if len(sys.argv) > 8 else 1000
    spi, both = keys(log, odst)
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    packet = inner(isrc, idst, what)
    pad = -(len(packet) + 2) % 4
    plain = packet + bytes(range(1, pad + 1)) + bytes([pad, 4])
    for key in both.values():
        for seq in range(first, first + count):
            head, iv = struct.pack(">II", spi, seq), struct.pack(">Q", seq + 2**40)
            esp = head + iv + aes_gcm(key[:32], key[32:36] + iv, head, plain)
            udp = struct.pack(">HHHH", 4500, 4500, 8 + len(esp), 0) + esp
            raw.sendto(ipv4(osrc, odst, 17, udp), (odst, 0))


main()
