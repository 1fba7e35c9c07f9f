/*
 * kdumpscan: how fast libkdumpfile reads the pages of a dump.
 *
 *	kdumpscan [-c CACHE.SIZE] [-t THREADS] [-o ORDER] [-n READS] [-q] DUMP...
 *
 * ORDER is seq (each page once, ascending; the threads take a part each), random
 * (uniform), zipf (a few pages often) or chase (8 bytes a read, which tell where the next
 * one is); READS counts for all but seq and is the number of pages by default. Prints
 *
 *	pages bytes seconds cpu-seconds MB/s MB/cpu-s checksum
 *
 * The checksum is over all bytes that were read and does not depend on their order. -q
 * looks at the first word of each read only. BenchmarkScan and BenchmarkRandom in package
 * vmcore make the same reads in the same order and print the same checksum.
 *
 *	cc -O2 -o kdumpscan kdumpscan.c -lkdumpfile -lpthread -lm
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <libkdumpfile/kdumpfile.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum order { SEQ, RANDOM, ZIPF, CHASE };

static const char *const names[] = { "seq", "random", "zipf", "chase" };
static enum order order = SEQ;
static uint64_t *pfns, npages, reads;
static uint64_t page_size;
static int quiet, threads = 1;

struct reader {
	pthread_t thread;
	kdump_ctx_t *ctx;
	unsigned number;
	uint64_t done, bytes, sum, failed;
};

static void die(kdump_ctx_t *ctx, const char *what)
{
	fprintf(stderr, "kdumpscan: %s: %s\n", what, ctx ? kdump_get_err(ctx) : "");
	exit(1);
}

/* mix is splitmix64's last step; it is also the generator, of a counter. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static uint64_t checksum(uint64_t pfn, const uint64_t *word, size_t n)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += word[i] * (2 * i + 1);
	return mix(sum ^ mix(pfn));
}

/* choose gives the place in pfns of read i. */
static uint64_t choose(uint64_t i)
{
	uint64_t r = mix(i);
	if (order == ZIPF) {
		double u = (double)(r >> 11) / 9007199254740992.0;
		uint64_t rank = (uint64_t)floor(exp(u * log((double)npages)));
		return mix(rank) % npages;
	}
	return r % npages;
}

static void read_one(struct reader *r, uint64_t pfn, uint64_t off, uint64_t *buf, size_t want)
{
	size_t n = want;
	kdump_status st = kdump_read(r->ctx, KDUMP_MACHPHYSADDR, pfn * page_size + off, buf, &n);
	r->done++;
	if (st != KDUMP_OK || n != want) {
		r->failed++;
		return;
	}
	r->bytes += n;
	r->sum += quiet ? buf[0] : checksum(pfn, buf, n / 8);
}

static void *work(void *arg)
{
	struct reader *r = arg;
	uint64_t *buf = malloc(page_size);
	uint64_t total = order == SEQ ? npages : reads;
	uint64_t from = total * r->number / threads, to = total * (r->number + 1) / threads;
	uint64_t at = r->number;

	for (uint64_t i = from; i < to; i++) {
		switch (order) {
		case SEQ:
			read_one(r, pfns[i], 0, buf, page_size);
			break;
		case RANDOM:
		case ZIPF:
			read_one(r, pfns[choose(i)], 0, buf, page_size);
			break;
		case CHASE:
			at = mix(at);
			buf[0] = 0;
			read_one(r, pfns[at % npages], (at >> 40) % (page_size / 8) * 8, buf, 8);
			at ^= buf[0];
			break;
		}
	}
	free(buf);
	return NULL;
}

static double now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* list fills pfns from the bitmap of pages in the file. */
static void list(kdump_ctx_t *ctx)
{
	kdump_attr_t attr;
	kdump_num_t max;
	attr.type = KDUMP_BITMAP;
	if (kdump_get_number_attr(ctx, "max_pfn", &max) != KDUMP_OK ||
	    kdump_get_number_attr(ctx, KDUMP_ATTR_PAGE_SIZE, &page_size) != KDUMP_OK ||
	    kdump_get_typed_attr(ctx, KDUMP_ATTR_FILE_PAGEMAP, &attr) != KDUMP_OK)
		die(ctx, "attributes");
	pfns = malloc(max * sizeof *pfns);
	for (kdump_addr_t at = 0; kdump_bmp_find_set(attr.val.bitmap, &at) == KDUMP_OK && at < max; at++)
		pfns[npages++] = at;
}

int main(int argc, char **argv)
{
	long cache = 0;
	int c;
	while ((c = getopt(argc, argv, "c:t:o:n:q")) != -1) {
		switch (c) {
		case 'c': cache = atol(optarg); break;
		case 't': threads = atoi(optarg); break;
		case 'n': reads = strtoull(optarg, NULL, 0); break;
		case 'q': quiet = 1; break;
		case 'o':
			for (order = SEQ; order <= CHASE && strcmp(optarg, names[order]); order++)
				;
			if (order <= CHASE)
				break;
			/* fall through */
		default:
			die(NULL, "usage: kdumpscan [-c CACHE.SIZE] [-t THREADS] [-o seq|random|zipf|chase] [-n READS] [-q] DUMP...");
		}
	}
	int nfds = argc - optind, fds[64];
	if (nfds < 1 || nfds > 64 || threads < 1 || threads > 256)
		die(NULL, "no dump, or too many");
	for (int i = 0; i < nfds; i++)
		if ((fds[i] = open(argv[optind + i], O_RDONLY)) < 0)
			die(NULL, argv[optind + i]);
	kdump_ctx_t *ctx = kdump_new();
	if (!ctx || kdump_open_fdset(ctx, nfds, fds) != KDUMP_OK)
		die(ctx, "open");
	if (cache && kdump_set_number_attr(ctx, "cache.size", cache) != KDUMP_OK)
		die(ctx, "cache.size");
	list(ctx);
	if (!reads)
		reads = npages;

	struct reader *r = calloc(threads, sizeof *r);
	double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < threads; i++) {
		r[i].number = i;
		r[i].ctx = i ? kdump_clone(ctx, 0) : ctx;
		if (!r[i].ctx || pthread_create(&r[i].thread, NULL, work, &r[i]))
			die(ctx, "thread");
	}
	struct reader all = { 0 };
	for (int i = 0; i < threads; i++) {
		pthread_join(r[i].thread, NULL);
		all.done += r[i].done, all.bytes += r[i].bytes, all.sum += r[i].sum, all.failed += r[i].failed;
	}
	wall = now(CLOCK_MONOTONIC) - wall, cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%lu %lu %.3f %.3f %.0f %.0f %016lx\n", (unsigned long)all.done, (unsigned long)all.bytes, wall, cpu,
	       all.bytes / wall / 1e6, all.bytes / cpu / 1e6, (unsigned long)all.sum);
	if (all.failed)
		fprintf(stderr, "kdumpscan: %lu reads failed\n", (unsigned long)all.failed);
	return all.failed != 0;
}
