#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What was on the wire once, sent again: by who could only listen, or by a member.

  replay.py wire PCAP DST [FROM]        each UDP 4500 packet to DST, as it was (FROM: from there instead);
                                        says: IKE N ESP N
  replay.py cut PCAP DST,… PORT FILE    the bytes that each TCP connection to PORT of DST brought there
  replay.py say FILE FROM DST PORT      each such connection again: what the other end said is said; one
                                        that it closes, or that is open for 3 s, is over
IPv4 on the wire; within the tunnels both.
"""
import socket
import struct
import sys
import time


def packets(path):
    """Whole IP packets of a capture on Ethernet or on a device of IP alone."""
    data = open(path, "rb").read()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    skip = {1: 14, 12: 0, 101: 0, 228: 0, 229: 0}[struct.unpack(order + "I", data[20:24])[0]]
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack(order + "I", data[at + 8:at + 12])[0]
        yield data[at + 16 + skip:at + 16 + length]
        at += 16 + length


def wire(path, dst, source=None):
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    ike = esp = 0
    for p in packets(path):
        if len(p) < 32 or p[0] >> 4 != 4 or p[9] != 17 or p[16:20] != socket.inet_aton(dst):
            continue
        head = (p[0] & 15) * 4
        if struct.unpack(">H", p[head + 2:head + 4])[0] != 4500:
            continue
        body = p[head + 8:struct.unpack(">H", p[2:4])[0]]
        ike += body[:4] == b"\0\0\0\0"
        esp += len(body) > 8 and body[:4] != b"\0\0\0\0"
        address = socket.inet_aton(source) if source else p[12:16]
        # The checksum may not have been made yet when it was captured: none is as good.
        udp = p[head:head + 6] + b"\0\0" + body
        raw.sendto(struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + address + p[16:20] + udp, (dst, 0))
        time.sleep(0.0005)
    print("IKE", ike, "ESP", esp)
    return bool(ike and esp)


def segments(path, dst, port):
    """Of each connection: sequence number -> bytes."""
    found = {}
    for p in packets(path):
        if len(p) < 40:
            continue
        if p[0] >> 4 == 4:
            proto, to, who, rest = p[9], p[16:20], p[12:16], p[(p[0] & 15) * 4:struct.unpack(">H", p[2:4])[0]]
        else:
            proto, to, who, rest = p[6], p[24:40], p[8:24], p[40:40 + struct.unpack(">H", p[4:6])[0]]
        if proto != 6 or len(rest) < 20:
            continue
        family = socket.AF_INET if len(to) == 4 else socket.AF_INET6
        if socket.inet_ntop(family, to) not in dst.split(",") or struct.unpack(">H", rest[2:4])[0] != port:
            continue
        data = rest[(rest[12] >> 4) * 4:]
        if data:
            found.setdefault((who, rest[:2]), {})[struct.unpack(">I", rest[4:8])[0]] = data
    return found


def cut(path, dst, port, out):
    streams = []
    for parts in segments(path, dst, int(port)).values():
        whole, end = b"", min(parts)
        for seq in sorted(parts):
            if seq <= end < seq + len(parts[seq]):
                whole += parts[seq][end - seq:]
                end = seq + len(parts[seq])
        streams.append(whole)
    with open(out, "wb") as f:
        for s in streams:
            f.write(struct.pack(">I", len(s)) + s)
    print(len(streams), "connections,", sum(map(len, streams)), "bytes")
    return bool(streams)


def say(path, source, dst, port):
    data, at = open(path, "rb").read(), 0
    while at < len(data):
        length = struct.unpack(">I", data[at:at + 4])[0]
        body, at = data[at + 4:at + 4 + length], at + 4 + length
        s = socket.socket(socket.AF_INET6 if ":" in dst else socket.AF_INET)
        s.settimeout(3)
        heard = b""
        try:
            s.bind((source, 0))
            s.connect((dst, int(port)))
            s.sendall(body)
            end = time.monotonic() + 3
            while time.monotonic() < end:
                more = s.recv(65536)
                if not more:
                    break
                heard += more
        except OSError as e:
            heard += b" " + str(e).encode()
        s.close()
        print(len(body), "bytes said, heard:", heard[-400:].decode("latin-1").replace("\0", "."))
    return True


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] not in ("wire", "cut", "say"):
        sys.exit(__doc__)
    sys.exit(0 if globals()[sys.argv[1]](*sys.argv[2:]) else 1)
