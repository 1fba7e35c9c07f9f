/*
 * codecbench: how fast the C libraries decode and code pages of a dump.
 *
 *   codecbench pack PAGESIZE <PAGES >PACK   codes pages as makedumpfile does
 *   codecbench run [SECONDS] <PACK          decodes them, SECONDS of CPU time per library
 *   codecbench code [SECONDS] <PACK         codes them again, likewise
 *   codecbench check METHOD PAGESIZE        what a library makes of streams, see check()
 *
 * A pack is a row of records, the numbers little-endian. First every page as it is, as
 * method 0; then each method's form of those that it makes smaller:
 *
 *   | method 4 | page number 4 | size 4 | size bytes |
 *
 * cc -O2 -o codecbench codecbench.c -lz -ldeflate -llzo2 -lsnappy -lzstd
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libdeflate.h>
#include <lzo/lzo1x.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

/* The codecs, by their bits in a page descriptor's flags. */
enum { RAW = 0, ZLIB = 0x01, LZO = 0x02, SNAPPY = 0x04, ZSTD = 0x20 };

struct record {
	uint32_t method, page, size;
};

struct coded {
	struct record head;
	unsigned char *bytes;
};

static void die(const char *why)
{
	fprintf(stderr, "codecbench: %s\n", why);
	exit(1);
}

static void *need(size_t n)
{
	void *p = malloc(n);
	if (!p)
		die("out of memory");
	return p;
}

/* Coding, as makedumpfile does it. Each returns the coded size, 0 if there is no room. */

static size_t zlib_code(unsigned char *dst, size_t room, const unsigned char *src, size_t n)
{
	uLongf size = room;
	return compress2(dst, &size, src, n, Z_BEST_SPEED) == Z_OK ? size : 0;
}

static size_t libdeflate_code(unsigned char *dst, size_t room, const unsigned char *src, size_t n)
{
	static struct libdeflate_compressor *c;
	if (!c)
		c = libdeflate_alloc_compressor(1);
	return libdeflate_zlib_compress(c, src, n, dst, room);
}

static size_t lzo_code(unsigned char *dst, size_t room, const unsigned char *src, size_t n)
{
	static lzo_align_t work[LZO1X_1_MEM_COMPRESS / sizeof(lzo_align_t) + 1];
	lzo_uint size = room;
	return lzo1x_1_compress(src, n, dst, &size, work) == LZO_E_OK ? size : 0;
}

static size_t snappy_code(unsigned char *dst, size_t room, const unsigned char *src, size_t n)
{
	size_t size = room;
	return snappy_compress((const char *)src, n, (char *)dst, &size) == SNAPPY_OK ? size : 0;
}

static size_t zstd_code(unsigned char *dst, size_t room, const unsigned char *src, size_t n)
{
	static ZSTD_CCtx *ctx;
	if (!ctx)
		ctx = ZSTD_createCCtx();
	size_t size = ZSTD_compressCCtx(ctx, dst, room, src, n, 1);
	return ZSTD_isError(size) ? 0 : size;
}

/* Decoding, each with its state kept. They return whether dst was filled exactly. */

static int zlib_decode(unsigned char *dst, size_t n, const unsigned char *src, size_t size)
{
	static z_stream z;
	static int ready;
	if (!ready && inflateInit(&z) != Z_OK)
		die("inflateInit");
	ready = 1;
	inflateReset(&z);
	z.next_in = (unsigned char *)src;
	z.avail_in = size;
	z.next_out = dst;
	z.avail_out = n;
	return inflate(&z, Z_FINISH) == Z_STREAM_END && !z.avail_in && !z.avail_out;
}

static int libdeflate_decode(unsigned char *dst, size_t n, const unsigned char *src, size_t size)
{
	static struct libdeflate_decompressor *d;
	size_t used;
	if (!d)
		d = libdeflate_alloc_decompressor();
	return libdeflate_zlib_decompress_ex(d, src, size, dst, n, &used, NULL) == LIBDEFLATE_SUCCESS && used == size;
}

static int lzo_decode(unsigned char *dst, size_t n, const unsigned char *src, size_t size)
{
	lzo_uint got = n;
	return lzo1x_decompress_safe(src, size, dst, &got, NULL) == LZO_E_OK && got == n;
}

static int snappy_decode(unsigned char *dst, size_t n, const unsigned char *src, size_t size)
{
	size_t got;
	if (snappy_uncompressed_length((const char *)src, size, &got) != SNAPPY_OK || got != n)
		return 0;
	return snappy_uncompress((const char *)src, size, (char *)dst, &got) == SNAPPY_OK && got == n;
}

static int zstd_decode(unsigned char *dst, size_t n, const unsigned char *src, size_t size)
{
	static ZSTD_DCtx *ctx;
	if (!ctx)
		ctx = ZSTD_createDCtx();
	return ZSTD_decompressDCtx(ctx, dst, n, src, size) == n;
}

/* The first of each method is what makedumpfile takes. */
static const struct coder {
	uint32_t method;
	const char *method_name, *name;
	size_t (*code)(unsigned char *, size_t, const unsigned char *, size_t);
} coders[] = {
	{ZLIB, "zlib", "zlib", zlib_code},
	{ZLIB, "zlib", "libdeflate", libdeflate_code},
	{LZO, "lzo", "liblzo2", lzo_code},
	{SNAPPY, "snappy", "libsnappy", snappy_code},
	{ZSTD, "zstd", "libzstd", zstd_code},
};

static const struct decoder {
	uint32_t method;
	const char *method_name, *name;
	int (*decode)(unsigned char *, size_t, const unsigned char *, size_t);
} decoders[] = {
	{ZLIB, "zlib", "zlib", zlib_decode},
	{ZLIB, "zlib", "libdeflate", libdeflate_decode},
	{LZO, "lzo", "liblzo2", lzo_decode},
	{SNAPPY, "snappy", "libsnappy", snappy_decode},
	{ZSTD, "zstd", "libzstd", zstd_decode},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void put(uint32_t method, uint32_t page, const unsigned char *bytes, size_t size)
{
	struct record head = {method, page, size};
	if (fwrite(&head, sizeof(head), 1, stdout) != 1 || fwrite(bytes, 1, size, stdout) != size)
		die("write error");
}

/* pack codes the pages that stand on standard input. What is less than a page is left out. */
static int pack(size_t page_size)
{
	size_t pages = 0, room = 2 * page_size + 4096;
	unsigned char *all = NULL, *out = need(room);
	for (;;) {
		if ((pages & (pages - 1)) == 0)
			all = realloc(all, (pages ? 2 * pages : 1) * page_size);
		if (!all)
			die("out of memory");
		if (fread(all + pages * page_size, page_size, 1, stdin) != 1)
			break;
		put(RAW, pages, all + pages * page_size, page_size);
		pages++;
	}
	for (size_t c = 0; c < COUNT(coders); c++)
		for (size_t i = 0; i < pages && (!c || coders[c].method != coders[c - 1].method); i++) {
			size_t size = coders[c].code(out, room, all + i * page_size, page_size);
			if (size && size < page_size)
				put(coders[c].method, i, out, size);
		}
	return fflush(stdout) ? 1 : 0;
}

/* load reads a pack. */
static struct coded *load(size_t *count)
{
	struct coded *all = NULL;
	struct record head;
	size_t n = 0;
	for (; fread(&head, sizeof(head), 1, stdin) == 1; n++) {
		if ((n & (n - 1)) == 0)
			all = realloc(all, (n ? 2 * n : 1) * sizeof(*all));
		if (!all)
			die("out of memory");
		all[n].head = head;
		all[n].bytes = need(head.size);
		if (fread(all[n].bytes, 1, head.size, stdin) != head.size)
			die("the pack is cut");
	}
	if (!n || all[0].head.method != RAW)
		die("not a pack");
	*count = n;
	return all;
}

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* measure prints the median rate of rounds over a method's pages, which the first compares. */
static void measure(const struct decoder *d, const struct coded *all, size_t count, double seconds)
{
	enum { MOST = 4096 };
	static double rates[MOST];
	size_t size = all[0].head.size, pages = 0, rounds = 0;
	unsigned char *dst = need(size);
	for (size_t i = 0; i < count; i++) {
		if (all[i].head.method != d->method)
			continue;
		if (!d->decode(dst, size, all[i].bytes, all[i].head.size) || memcmp(dst, all[all[i].head.page].bytes, size))
			die(d->name);
		pages++;
	}
	for (double begin = cpu_seconds(); pages && rounds < MOST && cpu_seconds() - begin < seconds; rounds++) {
		double t = cpu_seconds();
		for (size_t i = 0; i < count; i++)
			if (all[i].head.method == d->method)
				d->decode(dst, size, all[i].bytes, all[i].head.size);
		rates[rounds] = pages * size / (cpu_seconds() - t) / 1e6;
	}
	if (rounds) {
		qsort(rates, rounds, sizeof(rates[0]), by_value);
		printf("%s\t%s\t%.1f\n", d->method_name, d->name, rates[rounds / 2]);
	}
	free(dst);
}

static int run(double seconds)
{
	size_t count;
	struct coded *all = load(&count);
	for (size_t i = 0; i < COUNT(decoders); i++)
		measure(&decoders[i], all, count, seconds);
	return 0;
}

/* measure_code prints a library's median rate over all pages, and what they take then. */
static void measure_code(const struct coder *c, const struct coded *all, size_t count, double seconds)
{
	enum { MOST = 4096 };
	static double rates[MOST];
	size_t size = all[0].head.size, room = 2 * size + 4096, pages = 0, rounds = 0, total = 0;
	unsigned char *dst = need(room);
	while (pages < count && all[pages].head.method == RAW)
		pages++;
	for (double begin = cpu_seconds(); rounds < MOST && (!rounds || cpu_seconds() - begin < seconds); rounds++) {
		double t = cpu_seconds();
		total = 0;
		for (size_t i = 0; i < pages; i++) {
			size_t n = c->code(dst, room, all[i].bytes, size);
			total += n && n < size ? n : size;
		}
		rates[rounds] = pages * size / (cpu_seconds() - t) / 1e6;
	}
	qsort(rates, rounds, sizeof(rates[0]), by_value);
	printf("%s\t%s\t%.1f\t%zu\n", c->method_name, c->name, rates[rounds / 2], total);
	free(dst);
}

static int code(double seconds)
{
	size_t count;
	struct coded *all = load(&count);
	for (size_t i = 0; i < COUNT(coders); i++)
		measure_code(&coders[i], all, count, seconds);
	return 0;
}

/*
 * check reads streams, each after its size in four bytes, and writes for each a byte, 1 if
 * the library takes it for a page, and then that page.
 */
static int check(uint32_t method, size_t page_size)
{
	const struct decoder *d = decoders;
	unsigned char *dst = need(page_size);
	uint32_t size;
	while (d < decoders + COUNT(decoders) && d->method != method)
		d++;
	if (d == decoders + COUNT(decoders))
		die("no such method");
	while (fread(&size, sizeof(size), 1, stdin) == 1) {
		unsigned char *src = need(size + 1); /* exactly as large, for checkers of memory */
		if (fread(src, 1, size, stdin) != size)
			die("a stream is cut");
		int good = d->decode(dst, page_size, src, size);
		putchar(good);
		if (good)
			fwrite(dst, 1, page_size, stdout);
		fflush(stdout);
		free(src);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (lzo_init() != LZO_E_OK)
		die("lzo_init");
	if (argc == 3 && !strcmp(argv[1], "pack"))
		return pack(strtoul(argv[2], NULL, 0));
	if (argc >= 2 && !strcmp(argv[1], "run"))
		return run(argc > 2 ? strtod(argv[2], NULL) : 1);
	if (argc >= 2 && !strcmp(argv[1], "code"))
		return code(argc > 2 ? strtod(argv[2], NULL) : 1);
	if (argc == 4 && !strcmp(argv[1], "check"))
		return check(strtoul(argv[2], NULL, 0), strtoul(argv[3], NULL, 0));
	die("usage: codecbench pack PAGESIZE | run [SECONDS] | code [SECONDS] | check METHOD PAGESIZE");
	return 2;
}
