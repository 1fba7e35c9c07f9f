#!/usr/bin/env python3
"""pages.py DUMP PAGESIZE: what libkdumpfile reads of a dump.

Reads page frame numbers from standard input, one a line, and prints for each the
SHA-256 of its bytes, or "-" when libkdumpfile says that it cannot read it.
"""
import hashlib
import sys

import kdumpfile
from kdumpfile.exceptions import KDumpBaseException

size = int(sys.argv[2])
dump = kdumpfile.kdumpfile(sys.argv[1])
for line in sys.stdin:
    try:
        page = dump.read(kdumpfile.KDUMP_MACHPHYSADDR, int(line) * size, size)
        print(hashlib.sha256(page).hexdigest())
    except KDumpBaseException:
        print("-")
