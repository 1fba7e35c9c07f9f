// crowd.c - many tasks: PROCESSES processes of THREADS threads each, all asleep.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static void *sleeper(void *unused)
{
	(void)unused;
	for (;;)
		pause();
}

static void process(int number, int threads)
{
	pthread_attr_t small;
	char name[16];

	snprintf(name, sizeof(name), "crowd-%d", number);
	prctl(PR_SET_NAME, name);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16384);
	for (int i = 1; i < threads; i++) {
		pthread_t t;

		if (pthread_create(&t, &small, sleeper, NULL)) {
			perror("crowd: pthread_create");
			exit(1);
		}
	}
	sleeper(NULL);
}

int main(int argc, char **argv)
{
	int processes = argc > 1 ? atoi(argv[1]) : 100, threads = argc > 2 ? atoi(argv[2]) : 100;

	for (int i = 0; i < processes; i++) {
		switch (fork()) {
		case -1:
			perror("crowd: fork");
			return 1;
		case 0:
			process(i, threads);
		}
	}
	sleeper(NULL);
}
