#!/usr/bin/env python3
"""pages.py DUMP RAW.ELF - what pages a kdump-compressed DUMP holds.

Prints the number of pages in both bitmaps and the sha256 over the sequence
(PFN as little-endian u64, the page's bytes) of all dumpable pages in PFN
order.  The PFNs come from DUMP's second bitmap, the bytes from the raw ELF
the dump was filtered from (not from DUMP), so the sum checks a reader.  Pages
have the header's block size; bytes that the ELF lacks count as 0.
"""
import hashlib, struct, sys, zlib
d = open(sys.argv[1], 'rb')
r = open(sys.argv[2], 'rb'); e = r.read(64)
order = '<>'[e[5] - 1]                    # of the machine, and so of both files
h = d.read(4096)
assert h[:8] == b'KDUMP   '
ver, = struct.unpack_from(order + 'i', h, 8)
o = 8 + 4 + 65 * 6 + 2 + 4 + 16           # after utsname, padding and timestamp
o = 424
status, bs, sub, bmblocks, maxmap, ttlram, dblocks, wr, cur, ncpu = struct.unpack_from(order + 'IiiIIIIIIi', h, o)
maxpfn = maxmap
d.seek(bs)
sh = d.read(bs * sub)
if ver >= 6: maxpfn, = struct.unpack_from(order + 'Q', sh, 96)
d.seek(bs * (1 + sub)); bm = d.read(bs * bmblocks); half = len(bm) // 2
b1, b2 = bm[:half], bm[half:]
pop = lambda b: sum(bin(x).count('1') for x in b)
phoff, = struct.unpack_from(order + 'Q', e, 32); n, = struct.unpack_from(order + 'H', e, 56)
seg = []
for i in range(n):
    r.seek(phoff + 56 * i); t, fl, off, va, pa, fs, ms, al = struct.unpack(order + 'IIQQQQQQ', r.read(56))
    if t == 1: seg.append((pa, pa + fs, off))
H = hashlib.sha256(); cnt = miss = 0; z = {}
for pfn in range(maxpfn):
    if not b2[pfn >> 3] >> (pfn & 7) & 1: continue
    a = pfn * bs
    for s, en, off in seg:
        if s <= a and a + bs <= en: break
    else:
        # a page only partly covered, or not at all
        p = bytearray(bs); ok = False
        for s, en, off in seg:
            lo, hi = max(s, a), min(en, a + bs)
            if lo < hi: r.seek(off + lo - s); p[lo - a:hi - a] = r.read(hi - lo); ok = True
        if not ok: miss += 1
        p = bytes(p); off = None
    if off is not None: r.seek(off + a - s); p = r.read(bs)
    H.update(struct.pack('<Q', pfn)); H.update(p); cnt += 1
    if len(sys.argv) > 3: k = a >> 22; c = z.setdefault(k, [0, 0]); c[0] += 1; c[1] += len(zlib.compress(p, 1))
print('version=%d status=%d block_size=%d max_mapnr=%d nr_cpus=%d' % (ver, status, bs, maxpfn, ncpu))
print('bitmap1=%d bitmap2=%d pages=%d not_in_elf=%d' % (pop(b1), pop(b2), cnt, miss))
print('sha256=%s' % H.hexdigest())
for k in sorted(z): print('%4d MiB  pages %5d  zlib %7d' % (k * 4, *z[k]))
