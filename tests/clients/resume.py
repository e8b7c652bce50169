"""Visits each port in turn over TLS; every visit offers the session of the one before.

usage: resume.py CAFILE TLSv1_2|TLSv1_3 PORT...
"""

import socket
import ssl
import sys

cafile, version, *ports = sys.argv[1:]

context = ssl.create_default_context(cafile=cafile)
context.minimum_version = context.maximum_version = ssl.TLSVersion[version]

session = None
for port in ports:
    tcp = socket.create_connection(("127.0.0.1", int(port)), timeout=5)
    with context.wrap_socket(tcp, server_hostname="localhost", session=session) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        reply = tls.makefile("rb").read()
        # Only now: a TLS 1.3 session arrives after the handshake.
        session = tls.session
        print(reply.decode(), f"session_reused={tls.session_reused}", flush=True)
