#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tickets as nobody should make them: the first seed of a ticket changed, and the sum made right again.

  ticket.py TICKET key         another key
  ticket.py TICKET host ADDR   another address

And where a ticket's secret must not be: prints the files that have it, in bytes, hex or base64.

  ticket.py TICKET leaks PATH...
The format: policy/ticket.h.
"""
import base64
import hashlib
import os
import sys


def payload(ticket):
    text = ticket.split("-", 2)[-1] if ticket.startswith("ovl1-secret-") else ticket[5:]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[:-8]


def forms(ticket):
    """The line's end, and the key in all forms in which somebody might write it down."""
    secret = payload(ticket)[-32:]
    yield ticket[-80:].encode()
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for skip in range(3):  # base64 of a text that it is in the middle of
        for code in base64.standard_b64encode, base64.urlsafe_b64encode:
            whole = code(bytes(skip) + secret)
            yield whole[4 if skip else 0:40]


def leaks(ticket, paths):
    wanted = list(forms(ticket))
    for path in paths:
        for folder, _, names in os.walk(path):
            for name in names:
                file = os.path.join(folder, name)
                if os.path.isfile(file) and not os.path.islink(file):
                    data = open(file, "rb").read()
                    if any(form in data for form in wanted):
                        print(file)


def main():
    what = sys.argv[2]
    if what == "leaks":
        leaks(sys.argv[1], sys.argv[3:])
        return
    data = bytearray(payload(sys.argv[1]))
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
