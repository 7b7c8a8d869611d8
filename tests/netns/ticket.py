#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tickets as nobody should make them: the first seed of a ticket changed, and the sum made right again.

  ticket.py TICKET key         another key
  ticket.py TICKET host ADDR   another address
The format: policy/ticket.h.
"""
import base64
import hashlib
import sys


def main():
    text, what = sys.argv[1][5:], sys.argv[2]
    data = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))[:-8]
    at = 3 + 1 + data[3] + 40 + 1  # flags, port; cluster; its key; how many seeds
    key = at + 1 + data[at]
    host = key + 32
    if what == "key":
        data[key] ^= 1
    elif what == "host":
        new = sys.argv[3].encode()
        data[host:host + 1 + data[host]] = bytes([len(new)]) + new
    else:
        sys.exit(__doc__)
    data += hashlib.sha256(data).digest()[:8]
    print("ovl1-" + base64.urlsafe_b64encode(data).decode().rstrip("="))


if __name__ == "__main__":
    main()
