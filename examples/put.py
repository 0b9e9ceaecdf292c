#!/usr/bin/env python3
"""Writes one key and prints the monotonic clock of the moment at which the request was sent.

    python3 examples/put.py HOST:PORT KEY VALUE

(`herald kv put` and curl do the same without the clock.)
"""
import http.client
import sys
import time
from urllib.parse import quote

where, key, value = sys.argv[1:4]
connection = http.client.HTTPConnection(where, timeout=10)
connection.connect()
sent = time.monotonic_ns()
connection.request("PUT", "/v1/kv/" + quote(key), value.encode())
answer = connection.getresponse()
body = answer.read().decode()
if answer.status != 200 or body.strip() != "true":
    sys.exit("the write was refused: %d %s" % (answer.status, body))
print(sent)
