"""Ship the audit log: python ship.py HOST PORT. Records come as lines on standard input, as to a plugin of auditd.

The collector there takes a line at a time, and answers "ok" and a line end once it has kept it. It may end, and come
back on the same port. This sends everything at the end, which is how not to do it:
"""

import socket
import sys

records = sys.stdin.buffer.read()
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    connection.sendall(records)
